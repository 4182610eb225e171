/** The part of WebAssembly that we use; written out because neither Node's types nor plain ES declare it. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}

export interface WasmModule {
  readonly module?: never
}

interface WebAssemblyApi {
  Memory: new (size: { initial: number; maximum: number; shared?: boolean }) => WasmMemory
  Module: new (binary: Uint8Array) => WasmModule
  Instance: new (module: WasmModule, imports: Record<string, Record<string, unknown>>) => { readonly exports: unknown }
  validate(binary: Uint8Array): boolean
}

/** Undefined where the machine has no WebAssembly. */
export const webAssembly: WebAssemblyApi = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly

/** True if threads can share this memory. */
export function isShared({ buffer }: WasmMemory): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && (buffer as ArrayBufferLike) instanceof SharedArrayBuffer
}
