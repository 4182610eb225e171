import { type Codec, createRandom, PAGE_ROWS, ShapeError } from '@kvfold/kv-core'
import { putBits, putHalf, takeBits, takeHalf } from './bits.ts'

/** What a number drawn from N(0, 1) is best rounded to, for 1 to 4 bits (Lloyd and Max): the upper halves of symmetric tables. */
const UPPER: Record<number, readonly number[]> = {
  1: [0.7979],
  2: [0.4528, 1.5104],
  3: [0.2451, 0.756, 1.3439, 2.1519],
  4: [0.1284, 0.388, 0.6568, 0.9423, 1.2562, 1.618, 2.069, 2.7326],
}

export interface TurboOptions {
  bits: 1 | 2 | 3 | 4
  /** Store a norm with which a row that is read back is as long as it was. */
  sameNorm: boolean
  /** +1 or -1 for each channel. */
  signs: (headDim: number) => Float32Array
}

/**
 * A row as its norm (float16) and the codes of its direction, rotated so that its coordinates look like draws from N(0, 1 / headDim), whatever
 * it was: so one table of levels is right for all. Rows are separate; no kernel reads them.
 */
export function turboCodec({ bits, sameNorm, signs }: TurboOptions): Codec {
  const upper = UPPER[bits]
  const levels = [...upper.map((x) => -x).reverse(), ...upper]
  const bounds = levels.slice(1).map((x, i) => (x + levels[i]) / 2)
  const width = (headDim: number): number => (headDim * bits) / 8 + 2
  return {
    name: `turbo${bits}`,
    layout: 'opaque',
    pageRows(headDim) {
      if (headDim % 16 !== 0) throw new ShapeError(`A head of ${headDim} channels cannot be packed: it must be a multiple of 16.`)
      return PAGE_ROWS
    },
    bytes: (rows, headDim) => rows * width(headDim),
    encode(rows, count, headDim, into) {
      const turned = signs(headDim)
      const y = new Float32Array(headDim)
      into.fill(0)
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        let squares = 0
        for (let c = 0; c < headDim; c++) {
          const x = rows[row * headDim + c]
          squares += x * x
          y[c] = x * turned[c]
        }
        hadamard(y)
        const norm = Math.sqrt(squares)
        const unit = norm > 0 ? Math.sqrt(headDim) / norm : 0
        let held = 0
        for (let c = 0; c < headDim; c++) {
          let code = 0
          while (code < bounds.length && y[c] * unit > bounds[code]) code++
          held += levels[code] ** 2
          putBits(into, first + 2, c * bits, code)
        }
        putHalf(into, first, sameNorm ? norm * Math.sqrt(headDim / held) : norm)
      }
    },
    decode(bytes, count, headDim, into) {
      const turned = signs(headDim)
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        const unit = takeHalf(bytes, first) / Math.sqrt(headDim)
        const y = into.subarray(row * headDim, (row + 1) * headDim)
        for (let c = 0; c < headDim; c++) y[c] = levels[takeBits(bytes, first + 2, c * bits, bits)] * unit
        hadamard(y)
        for (let c = 0; c < headDim; c++) y[c] *= turned[c]
      }
    },
  }
}

/** Signs by a seeded toss for each channel, drawn once for each width. */
export function randomSigns(seed: number): (headDim: number) => Float32Array {
  const drawn = new Map<number, Float32Array>()
  return (headDim) => {
    let signs = drawn.get(headDim)
    if (!signs) {
      const random = createRandom(seed)
      signs = Float32Array.from({ length: headDim }, () => (random() < 0.5 ? -1 : 1))
      drawn.set(headDim, signs)
    }
    return signs
  }
}

/** The normalized Hadamard transform, in place and its own inverse; of equal blocks where the length is no power of two. */
export function hadamard(x: Float32Array): void {
  const block = x.length & -x.length
  for (let half = 1; half < block; half *= 2) {
    for (let i = 0; i < x.length; i += 2 * half) {
      for (let j = i; j < i + half; j++) {
        const a = x[j],
          b = x[j + half]
        x[j] = a + b
        x[j + half] = a - b
      }
    }
  }
  const scale = 1 / Math.sqrt(block)
  for (let i = 0; i < x.length; i++) x[i] *= scale
}
