import { type Codec, createRandom, PAGE_ROWS, ShapeError } from '@kvfold/kv-core'
import { putBits, putHalf, takeLevels, takeHalf } from './bits.ts'

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
  const levels = Float64Array.of(...upper.map((x) => -x).reverse(), ...upper)
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
      const y = new Float64Array(headDim)
      into.fill(0)
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        let squares = 0
        for (let c = 0; c < headDim; c++) {
          const x = rows[row * headDim + c]
          squares += x * x
          y[c] = x * turned[c]
        }
        const length = hadamard(y)
        const norm = Math.sqrt(squares)
        const unit = norm > 0 ? Math.sqrt(headDim) / (norm * length) : 0
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
      const y = new Float64Array(headDim)
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        takeLevels(bytes, first + 2, bits, levels, y)
        const unit = takeHalf(bytes, first) / (Math.sqrt(headDim) * hadamard(y))
        const out = row * headDim
        for (let c = 0; c < headDim; c++) into[out + c] = y[c] * turned[c] * unit
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

/**
 * The Hadamard transform, in place, of equal blocks where the length is no power of two. Returns how many times longer it makes a vector: divided
 * by that, it is its own inverse.
 */
export function hadamard(x: Float64Array): number {
  const { length } = x
  const block = length & -length
  let half = 1
  // Two stages a pass: half as many loads and stores. An odd one comes last.
  for (; half * 2 < block; half *= 4) {
    for (let i = 0; i < length; i += 4 * half) {
      for (let j = i; j < i + half; j++) {
        const a = x[j] + x[j + half],
          b = x[j] - x[j + half],
          c = x[j + 2 * half] + x[j + 3 * half],
          d = x[j + 2 * half] - x[j + 3 * half]
        x[j] = a + c
        x[j + half] = b + d
        x[j + 2 * half] = a - c
        x[j + 3 * half] = b - d
      }
    }
  }
  for (let i = 0; half < block && i < length; i += 2 * half) {
    for (let j = i; j < i + half; j++) {
      const a = x[j]
      x[j] = a + x[j + half]
      x[j + half] = a - x[j + half]
    }
  }
  return Math.sqrt(block)
}
