import { accumulatedAttention, protectSinks, type Scorer } from '@kvfold/kv-core'

/** Attention that each row ever received (group mean); the first `sinks` tokens stay. */
export function heavyHitters(sinks: number): Scorer {
  const attention = accumulatedAttention('d2o')
  return { ...attention, score: (seen, head) => protectSinks(attention.score(seen, head), sinks, head.positions) }
}
