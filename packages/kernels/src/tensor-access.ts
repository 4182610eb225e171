import { engine, type Tensor as TfjsTensor, tensor as tfjsTensor } from '@tensorflow/tfjs-core'
import { UnsupportedTensorError } from './errors.ts'
import type { Heap } from './heap.ts'
import { tfjsHeap, type TfjsHeap, type WasmBackend } from './heap/tfjs-heap.ts'
import type { Borrowed, Kernels, Output } from './kernels.ts'
import type { ArrayTensor, Tensor } from './tensor.ts'

const nothing = (): void => {}

/** How kernels on this heap read and make tensors. */
export function tensorAccess(heap: Heap): Pick<Kernels, 'borrow' | 'output'> {
  return { borrow: (tensor) => borrow(heap, tensor), output: (like, shape) => output(heap, like, shape) }
}

function borrow(heap: Heap, tensor: Tensor): Borrowed | Promise<Borrowed> {
  const size = sizeOf(tensor.shape)
  if (tensor.dtype !== 'float32') throw new UnsupportedTensorError(`The tensor's dtype is ${tensor.dtype}.`)
  if ('data' in tensor && tensor.data instanceof Float32Array) return copyIn(heap, tensor.data, size)
  if (isTfjs(tensor)) {
    if (tensor.isDisposed) throw new UnsupportedTensorError('The tensor was disposed.')
    const home = homeOf(tensor)
    const address = home?.addressOf(tensor.dataId)
    if (address && size > 0) {
      if (home === heap) return { address, release: nothing }
      return copyIn(heap, home!.f32.subarray(address >>> 2, (address >>> 2) + size), size)
    }
    if (onGpu(tensor)) return tensor.data().then((data) => copyIn(heap, data as Float32Array, size))
  }
  if ('dataSync' in tensor && typeof tensor.dataSync === 'function') return copyIn(heap, tensor.dataSync() as Float32Array, size)
  throw new UnsupportedTensorError('The tensor has neither `data` nor `dataSync()`.')
}

function copyIn(heap: Heap, data: Float32Array, size: number): Borrowed {
  if (!(data instanceof Float32Array) || data.length !== size) {
    throw new UnsupportedTensorError(`The shape asks for ${size} float32 numbers, the data has ${data?.length}.`)
  }
  const address = heap.malloc(size * 4)
  heap.f32.set(data, address >>> 2)
  return { address, release: () => heap.free(address) }
}

function output(heap: Heap, like: Tensor, shape: readonly number[]): Output {
  const size = sizeOf(shape)
  const home = isTfjs(like) && size > 0 ? homeOf(like) : undefined
  if (home === heap) return outputIn(home, shape)
  const address = heap.malloc(size * 4)
  return {
    address,
    finish() {
      const data = heap.f32.subarray(address >>> 2, (address >>> 2) + size)
      const tensor = home ? copyOut(home, data, shape) : copied(like, data.slice(), shape)
      heap.free(address)
      return tensor
    },
  }
}

/** A tfjs tensor whose memory is written before the engine hears of it. */
function outputIn(home: TfjsHeap, shape: readonly number[]): Output {
  const backend = home.backend as WasmBackend
  const info = backend.makeOutput([...shape], 'float32')
  return {
    address: home.addressOf(info.dataId)!,
    finish: () => engine().makeTensorFromTensorInfo(info, backend as never),
  }
}

/** The same with numbers of another heap, without what tfjs's `tensor` does beside copying. */
function copyOut(home: TfjsHeap, data: Float32Array, shape: readonly number[]): Tensor {
  const { address, finish } = outputIn(home, shape)
  home.f32.set(data, address >>> 2)
  return finish()
}

function copied(like: Tensor, data: Float32Array, shape: readonly number[]): Tensor {
  if (isTfjs(like)) return tfjsTensor(data, [...shape], 'float32')
  const plain: ArrayTensor = { shape: [...shape], dtype: 'float32', data }
  return plain
}

/** The memory of tfjs's wasm backend, if the tensor lies there and the backend shows it. */
function homeOf(tensor: TfjsTensor): TfjsHeap | undefined {
  if (!engine().registry.wasm) return undefined
  try {
    const home = tfjsHeap()
    return home.addressOf(tensor.dataId) === undefined ? undefined : home
  } catch {
    return undefined
  }
}

function isTfjs(tensor: Tensor): tensor is TfjsTensor {
  return 'dataId' in tensor && 'dataSync' in tensor
}

/** Where the tensor really lives, which need not be the active backend. */
function onGpu(tensor: TfjsTensor): boolean {
  const { registry, state, backend } = engine()
  const home = state.tensorInfo.get(tensor.dataId)?.backend ?? backend
  return home === registry.webgpu || home === registry.webgl
}

function sizeOf(shape: readonly number[]): number {
  let size = 1
  for (const length of shape) {
    if (!Number.isInteger(length) || length < 0) throw new UnsupportedTensorError(`[${shape.join(', ')}] is not a shape.`)
    size *= length
  }
  return size
}
