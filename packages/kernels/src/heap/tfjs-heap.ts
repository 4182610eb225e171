import { engine } from '@tensorflow/tfjs-core'
import { KernelArgumentError, KernelUnavailableError, OutOfMemoryError } from '../errors.ts'
import type { WasmHeap } from '../heap.ts'
import { Views } from './views.ts'
import { webAssembly, type WasmMemory } from './webassembly.ts'

/** What we use of tfjs's wasm backend; its own types do not show it. */
export interface WasmBackend {
  wasm: { asm: Record<string, unknown>; wasmMemory?: WasmMemory; _malloc(bytes: number): number; _free(address: number): void }
  dataIdMap: { has(dataId: object): boolean; get(dataId: object): { memoryOffset: number } }
  makeOutput(shape: readonly number[], dtype: 'float32'): { dataId: object; shape: number[]; dtype: 'float32' }
}

/** A heap that is tfjs's own memory. */
export interface TfjsHeap extends WasmHeap {
  /** Where the data of a tensor lies, if it lives in this memory. */
  addressOf(dataId: object): number | undefined
  readonly backend: unknown
}

const heaps: WeakMap<object, TfjsHeap> = new WeakMap()

/** The memory of tfjs's wasm backend, which must have been set up (`await setBackend('wasm')`). One heap per backend. */
export function tfjsHeap(): TfjsHeap {
  const backend = engine().registry.wasm as unknown as WasmBackend | undefined
  if (!backend?.wasm)
    throw new KernelUnavailableError(
      "tfjs's wasm backend is not set up. Import @tensorflow/tfjs-backend-wasm and await setBackend('wasm') first, or use ownHeap().",
    )
  let heap = heaps.get(backend)
  if (!heap) heaps.set(backend, (heap = new SharedHeap(backend)))
  return heap
}

/** tfjs's builds for one thread export their memory, the one for several imports it. */
function memoryOf(backend: WasmBackend): WasmMemory {
  if (backend.wasm.wasmMemory) return backend.wasm.wasmMemory
  for (const item of Object.values(backend.wasm.asm ?? {})) if (item instanceof webAssembly.Memory) return item
  throw new KernelUnavailableError(
    "This version of tfjs's wasm backend does not show its memory. Use version 4.22, or wasmKernels(ownHeap()).",
  )
}

class SharedHeap extends Views implements TfjsHeap {
  live = 0
  readonly backend: WasmBackend
  /** By aligned address: what `_malloc` returned, and how many bytes were asked for. */
  readonly #blocks: Map<number, { raw: number; bytes: number }> = new Map()

  constructor(backend: WasmBackend) {
    super(memoryOf(backend))
    this.backend = backend
  }

  malloc(bytes: number): number {
    const { raw, address } = this.#take(bytes)
    this.#blocks.set(address, { raw, bytes })
    this.live += bytes
    return address
  }

  free(address: number): void {
    const block = this.#blocks.get(address)
    if (!block)
      throw new KernelArgumentError(`Address ${address} was not handed out by this heap, or was freed before. Free every address once.`)
    this.#blocks.delete(address)
    this.live -= block.bytes
    this.backend.wasm._free(block.raw)
  }

  reserve(bytes: number): number {
    return this.#take(bytes).address
  }

  addressOf(dataId: object): number | undefined {
    return this.backend.dataIdMap.has(dataId) ? this.backend.dataIdMap.get(dataId).memoryOffset >>> 0 : undefined
  }

  /** tfjs aligns to 8 bytes only. A failed `_malloc` returns 0 or aborts, depending on how tfjs was built. */
  #take(bytes: number): { raw: number; address: number } {
    let raw = 0
    if (bytes >= 0 && bytes < 2 ** 32) {
      try {
        raw = this.backend.wasm._malloc(bytes + 15) >>> 0
      } catch {
        raw = 0
      }
    }
    if (raw === 0) throw new OutOfMemoryError(bytes, this.live)
    return { raw, address: Math.ceil(raw / 16) * 16 }
  }
}
