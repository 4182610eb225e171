import { NotFiniteError, type Random } from '@kvfold/kv-core'
import { ModelInputError } from '../errors.ts'

export interface SamplingOptions {
  /** 0 (the default) is greedy: the likeliest token, of equals the one with the lowest id. */
  temperature?: number
  /** Only the so many likeliest tokens. 0 (the default): all. */
  topK?: number
  /** Only the smallest set of likeliest tokens with at least this probability together, in (0, 1]. Default 1: all. */
  topP?: number
  /** The same seed gives the same tokens. Default 0. */
  seed?: number
}

/** Throws ModelInputError on values that mean nothing. */
export function checkSampling({ temperature = 0, topK = 0, topP = 1 }: SamplingOptions): void {
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw new ModelInputError(`temperature is ${temperature}: give a number of at least 0.`)
  if (!Number.isInteger(topK) || topK < 0) throw new ModelInputError(`topK is ${topK}: give a whole number of at least 0.`)
  if (!(topP > 0 && topP <= 1)) throw new ModelInputError(`topP is ${topP}: give a number above 0, up to 1.`)
}

/** Index of the largest value; the lowest index of equals. Throws NotFiniteError on NaN. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value !== value) throw new NotFiniteError(`The model gave NaN for token ${i}: its weights or its cache are damaged.`)
    if (value > values[best]) best = i
  }
  return best
}

/** Draws a token id from `logits`: temperature first, then topK, then topP. */
export function sample(logits: Float32Array, options: SamplingOptions, random: Random): number {
  const { temperature = 0, topK = 0, topP = 1 } = options
  const best = argmax(logits)
  if (temperature === 0 || topK === 1) return best
  const weight = (id: number): number => Math.exp((logits[id] - logits[best]) / temperature)
  const ids = nucleus(candidates(logits, topK), weight, topP)
  let total = 0
  for (const id of ids) total += weight(id)
  let left = random() * total
  for (const id of ids) {
    left -= weight(id)
    if (left < 0) return id
  }
  return ids.at(-1)!
}

/** The ids of the topK largest logits (ties: the lowest ids), or all. */
function candidates(logits: Float32Array, topK: number): number[] {
  if (topK === 0 || topK >= logits.length) return Array.from(logits.keys())
  const threshold = logits.slice().sort()[logits.length - topK]
  const ids: number[] = [],
    ties: number[] = []
  for (let id = 0; id < logits.length; id++) {
    if (logits[id] > threshold) ids.push(id)
    else if (logits[id] === threshold) ties.push(id)
  }
  return [...ids, ...ties.slice(0, topK - ids.length)].sort((a, b) => a - b)
}

/** The shortest list of likeliest ids that has `topP` of the weight. */
function nucleus(ids: number[], weight: (id: number) => number, topP: number): number[] {
  if (topP === 1) return ids
  let total = 0
  for (const id of ids) total += weight(id)
  // All ids below this cut weigh less than 1 - topP together, so none is needed: it saves sorting the vocabulary.
  const cut = ((1 - topP) * total) / ids.length
  const likely = ids.filter((id) => weight(id) >= cut).sort((a, b) => weight(b) - weight(a) || a - b)
  let sum = 0
  const end = likely.findIndex((id) => (sum += weight(id)) >= topP * total)
  return end < 0 ? likely : likely.slice(0, end + 1)
}
