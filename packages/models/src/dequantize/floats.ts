import { fromHalf } from '@kvfold/kernels'
import type { Decoder, PackedType } from './decoder.ts'

/** float32, little end first. */
export const f32: Decoder = {
  block: 1,
  bytes: 4,
  decode(view, from, count, into, at) {
    for (let i = 0; i < count; i++) into[at + i] = view.getFloat32(from + 4 * i, true)
  },
}

/** IEEE float16. */
export const f16: Decoder = {
  block: 1,
  bytes: 2,
  decode(view, from, count, into, at) {
    for (let i = 0; i < count; i++) into[at + i] = fromHalf(view.getUint16(from + 2 * i, true))
  },
  packed: words('f16'),
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

/** bfloat16: the upper half of a float32. */
export const bf16: Decoder = {
  block: 1,
  bytes: 2,
  decode(view, from, count, into, at) {
    for (let i = 0; i < count; i++) {
      bits[0] = view.getUint16(from + 2 * i, true) << 16
      into[at + i] = float[0]!
    }
  },
  packed: words('bf16'),
}

/** Numbers of 16 bits as they are. */
function words(kind: 'f16' | 'bf16'): PackedType {
  return {
    kind,
    row(view, from, count) {
      const codes = new Uint16Array(count)
      for (let i = 0; i < count; i++) codes[i] = view.getUint16(from + 2 * i, true)
      return { codes, scales: [], minima: [] }
    },
  }
}
