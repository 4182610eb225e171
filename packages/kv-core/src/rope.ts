import { ShapeError } from './errors.ts'

/**
 * Rotary position embedding of the rotate-half kind: channel i pairs with i + headDim/2, at angle
 * position * frequency[i]. `external`: the model rotates its own queries and keys, and methods that need unrotated keys refuse.
 */
export type RopeSpec = 'external' | { theta: number; scaling?: RopeScaling }

/** The usual scalings, with Hugging Face's meanings (`rope_scaling` in config.json). */
export type RopeScaling =
  | { type: 'linear'; factor: number }
  /** NTK-aware, by the length seen so far; `maxPositions` is the trained length. */
  | { type: 'dynamic'; factor: number; maxPositions: number }
  | { type: 'llama3'; factor: number; lowFreqFactor: number; highFreqFactor: number; originalMaxPositions: number }
  | {
      type: 'yarn'
      factor: number
      originalMaxPositions: number
      /** Default 32. */
      betaFast?: number
      /** Default 1. */
      betaSlow?: number
      /** Multiplies cos and sin. Default 0.1 ln(factor) + 1. */
      attentionFactor?: number
    }

/** What a rotation needs: one frequency per channel pair, in radians per position, and a factor on cos and sin. */
export interface Frequencies {
  perPair: Float64Array
  attentionFactor: number
}

/** Frequencies for a sequence of `length` positions (only `dynamic` scaling depends on it). */
export function frequencies(spec: Exclude<RopeSpec, 'external'>, headDim: number, length: number): Frequencies {
  const { theta, scaling } = spec
  if (!(theta > 0)) throw new ShapeError(`rope theta is ${theta}: give a positive number.`)
  const half = headDim / 2
  const plain = (base: number): Float64Array => Float64Array.from({ length: half }, (_, i) => base ** ((-2 * i) / headDim))
  if (!scaling) return { perPair: plain(theta), attentionFactor: 1 }
  switch (scaling.type) {
    case 'linear':
      return { perPair: plain(theta).map((f) => f / scaling.factor), attentionFactor: 1 }
    case 'dynamic': {
      const seen = Math.max(length, scaling.maxPositions)
      const stretch = (scaling.factor * seen) / scaling.maxPositions - (scaling.factor - 1)
      return { perPair: plain(theta * stretch ** (headDim / (headDim - 2))), attentionFactor: 1 }
    }
    case 'llama3':
      return { perPair: plain(theta).map((f) => llama3Frequency(f, scaling)), attentionFactor: 1 }
    case 'yarn':
      return yarn(plain(theta), theta, headDim, scaling)
  }
}

function llama3Frequency(f: number, s: Extract<RopeScaling, { type: 'llama3' }>): number {
  const wavelength = (2 * Math.PI) / f
  if (wavelength < s.originalMaxPositions / s.highFreqFactor) return f
  if (wavelength > s.originalMaxPositions / s.lowFreqFactor) return f / s.factor
  const smooth = (s.originalMaxPositions / wavelength - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor)
  return ((1 - smooth) * f) / s.factor + smooth * f
}

/** YaRN (arXiv 2309.00071): fast pairs keep their frequency, slow ones are interpolated, a ramp lies between. */
function yarn(plain: Float64Array, theta: number, headDim: number, s: Extract<RopeScaling, { type: 'yarn' }>): Frequencies {
  const pairAt = (rotations: number): number =>
    (headDim * Math.log(s.originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta))
  const low = Math.max(Math.floor(pairAt(s.betaFast ?? 32)), 0)
  const high = Math.min(Math.ceil(pairAt(s.betaSlow ?? 1)), headDim - 1)
  const perPair = plain.map((f, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)))
    return (f / s.factor) * ramp + f * (1 - ramp)
  })
  return { perPair, attentionFactor: s.attentionFactor ?? 0.1 * Math.log(s.factor) + 1 }
}
