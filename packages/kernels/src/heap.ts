import type { WasmMemory } from './heap/webassembly.ts'

/**
 * The linear memory that kernels work in. Addresses are byte offsets, 16-byte aligned.
 *
 * Views go stale when the memory grows: read `f32`, `u8` ... anew after anything that may allocate.
 */
export interface Heap {
  readonly f32: Float32Array
  readonly i32: Int32Array
  readonly u16: Uint16Array
  readonly u8: Uint8Array
  /** Bytes handed out by `malloc` and not yet freed. */
  readonly live: number
  /** The address of `bytes` fresh bytes (content undefined). Throws OutOfMemoryError. */
  malloc(bytes: number): number
  /** Gives back what `malloc` returned. */
  free(address: number): void
}

/** A heap inside a WebAssembly memory, which the wasm kernels can import. */
export interface WasmHeap extends Heap {
  readonly memory: WasmMemory
  /** Bytes taken for the life of the heap, such as the kernels' scratch; not counted in `live`, never freed. */
  reserve(bytes: number): number
}
