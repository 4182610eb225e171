import type { WasmMemory } from './webassembly.ts'

/** The four views of a memory, made anew whenever the memory has grown (growing detaches its old buffer). */
export class Views {
  readonly memory: WasmMemory
  #buffer: ArrayBuffer | undefined
  #f32 = new Float32Array(0)
  #i32 = new Int32Array(0)
  #u16 = new Uint16Array(0)
  #u8 = new Uint8Array(0)

  constructor(memory: WasmMemory) {
    this.memory = memory
  }

  get f32(): Float32Array {
    this.#refresh()
    return this.#f32
  }

  get i32(): Int32Array {
    this.#refresh()
    return this.#i32
  }

  get u16(): Uint16Array {
    this.#refresh()
    return this.#u16
  }

  get u8(): Uint8Array {
    this.#refresh()
    return this.#u8
  }

  #refresh(): void {
    const buffer = this.memory.buffer
    if (buffer === this.#buffer) return
    this.#buffer = buffer
    this.#f32 = new Float32Array(buffer)
    this.#i32 = new Int32Array(buffer)
    this.#u16 = new Uint16Array(buffer)
    this.#u8 = new Uint8Array(buffer)
  }
}
