import '@tensorflow/tfjs-backend-wasm'
import { memory, setBackend, tensor, type Tensor as TfTensor, zeros } from '@tensorflow/tfjs-core'
import {
  createKernels,
  KernelArgumentError,
  ownHeap,
  OutOfMemoryError,
  tfjsHeap,
  UnsupportedTensorError,
  wasmKernels,
  type ArrayTensor,
  type Kernels,
} from '@kvfold/kernels'
import { beforeAll, describe, expect, it } from 'vitest'

let kernels: Kernels

beforeAll(async () => {
  await setBackend('wasm')
  kernels = createKernels()
})

describe("in the memory of tfjs's wasm backend", () => {
  it('reads tensors where they lie and hands back tensors of tfjs, leaking none', async () => {
    expect(kernels.heap).toBe(tfjsHeap())
    const live = kernels.heap.live,
      tensors = memory().numTensors
    const input = tensor(
      Float32Array.from({ length: 96 }, (_, i) => i),
      [2, 3, 16],
      'float32',
    )
    const borrowed = await kernels.borrow(input)
    expect(kernels.heap.live).toBe(live)
    expect(kernels.heap.f32[(borrowed.address >>> 2) + 17]).toBe(17)
    const output = kernels.output(input, [2, 3, 16])
    kernels.heap.f32.fill(4, output.address >>> 2, (output.address >>> 2) + 96)
    const result = output.finish() as TfTensor
    expect(result.shape).toEqual([2, 3, 16])
    expect((await result.data()).every((x) => x === 4)).toBe(true)
    borrowed.release()
    input.dispose()
    result.dispose()
    expect(memory().numTensors).toBe(tensors)
    expect(kernels.heap.live).toBe(live)
  })

  it('stays right when the memory grows under it', async () => {
    const address = kernels.heap.malloc(64)
    kernels.heap.f32[address >>> 2] = 7
    const before = kernels.heap.f32.buffer
    // Other tests in this process may have left room: take more until there is none.
    const large: TfTensor[] = []
    while (kernels.heap.f32.buffer === before) large.push(zeros([4096, 1024]))
    expect(kernels.heap.f32[address >>> 2]).toBe(7)
    expect(kernels.isFinite(address, 1)).toBe(true)
    for (const one of large) one.dispose()
    kernels.heap.free(address)
  })

  it('takes plain arrays, and refuses what it cannot read', async () => {
    const plain: ArrayTensor = { shape: [1, 1, 16], dtype: 'float32', data: new Float32Array(16).fill(2) }
    const borrowed = await kernels.borrow(plain)
    expect(kernels.heap.f32[borrowed.address >>> 2]).toBe(2)
    borrowed.release()
    const output = kernels.output(plain, [1, 1, 16])
    expect((output.finish() as ArrayTensor).data).toBeInstanceOf(Float32Array)
    for (const bad of [
      { ...plain, dtype: 'int32' },
      { ...plain, shape: [2, 1, 16] },
      { shape: [1], dtype: 'float32' },
    ])
      await expect(async () => kernels.borrow(bad)).rejects.toThrow(UnsupportedTensorError)
    const gone = tensor([1, 2], [2], 'float32')
    gone.dispose()
    await expect(async () => kernels.borrow(gone)).rejects.toThrow(UnsupportedTensorError)
  })
})

describe('a heap of its own', () => {
  it('gives aligned, separate blocks, takes them back once, and merges them', async () => {
    const heap = ownHeap()
    wasmKernels(heap)
    const blocks = [1, 100, 17, 4096].map((bytes) => ({ bytes, address: heap.malloc(bytes) }))
    expect(heap.live).toBe(4214)
    blocks.forEach(({ address, bytes }, i) => {
      expect(address % 16).toBe(0)
      heap.u8.fill(i + 1, address, address + bytes)
    })
    blocks.forEach(({ address, bytes }, i) => expect(heap.u8.subarray(address, address + bytes).every((x) => x === i + 1)).toBe(true))
    for (const { address } of blocks) heap.free(address)
    expect(heap.live).toBe(0)
    expect(heap.malloc(4000)).toBe(blocks[0].address)
    expect(() => heap.free(12_345)).toThrow(KernelArgumentError)
    expect(() => heap.malloc(2 ** 33)).toThrow(OutOfMemoryError)
  })
})
