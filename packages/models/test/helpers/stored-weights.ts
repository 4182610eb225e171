import { toHalf } from '@kvfold/kernels'
import type { Weights } from '../../src/weights/weights.ts'
import { GGUF_DECODERS } from '../../src/dequantize/gguf-types.ts'
import { bytesSource } from '../../src/files/file-source.ts'
import { stored } from '../../src/weights/stored.ts'
import type { TinyWeights } from './tiny-model.ts'

export type StoredType = 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1'

/** The same matrices, rounded to a type and stored in it. Vectors stay float32. */
export function storedWeights(weights: TinyWeights, typeOf: (name: string) => StoredType): Weights {
  return {
    name: 'stored',
    find(name) {
      const tensor = weights.tensors.get(name)
      if (!tensor || tensor.shape.length < 2) return weights.find(name)
      const type = typeOf(name)
      const bytes = type === 'F16' ? halves(tensor.data) : type === 'BF16' ? upperHalves(tensor.data) : blocks(tensor.data, type)
      return stored({
        file: bytesSource(name, bytes),
        start: 0,
        end: bytes.length,
        shape: tensor.shape,
        type,
        decoder: GGUF_DECODERS[type],
      })
    },
    close: async () => {},
  }
}

function halves(data: Float32Array): Uint8Array {
  return new Uint8Array(Uint16Array.from(data, toHalf).buffer)
}

function upperHalves(data: Float32Array): Uint8Array {
  return new Uint8Array(Uint16Array.from(new Uint32Array(data.slice().buffer), (bits) => bits >>> 16).buffer)
}

function blocks(data: Float32Array, type: 'Q8_0' | 'Q4_0' | 'Q4_1'): Uint8Array {
  const size = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[type]
  const bytes = new Uint8Array((data.length / 32) * size)
  const view = new DataView(bytes.buffer)
  for (let b = 0; b * 32 < data.length; b++) {
    const numbers = [...data.subarray(b * 32, b * 32 + 32)]
    const at = b * size
    const low = Math.min(...numbers),
      largest = Math.max(...numbers.map(Math.abs))
    const scale = type === 'Q8_0' ? largest / 127 : type === 'Q4_0' ? largest / 8 : (Math.max(...numbers) - low) / 15
    view.setUint16(at, toHalf(scale), true)
    if (type === 'Q4_1') view.setUint16(at + 2, toHalf(low), true)
    const code = (x: number): number => {
      if (type === 'Q8_0') return Math.round(x / scale)
      return Math.max(0, Math.min(15, Math.round(type === 'Q4_0' ? x / scale + 8 : (x - low) / scale)))
    }
    if (type === 'Q8_0') numbers.forEach((x, i) => view.setInt8(at + 2 + i, code(x)))
    else for (let j = 0; j < 16; j++) bytes[at + size - 16 + j] = code(numbers[j]) | (code(numbers[j + 16]) << 4)
  }
  return bytes
}
