import { BudgetError } from '@kvfold/kv-core'

export interface LevelQuestion {
  /** Bytes of each chunk of a cache at each level, level 1 first: [chunks][levels]. */
  chunks: readonly (readonly number[])[]
  /** Bits per second; or those while each chunk is sent, of which only what went before is known when one is chosen: [chunks]. */
  bandwidth: number | readonly number[]
  /** Seconds in which the whole context must be there. */
  deadline: number
  /** Seconds that it takes to send a chunk as text and to read that again. Default 0.2, as in the authors' script. */
  recompute?: number
  /**
   * What becomes of time that is left over. `even`, the script's: nothing, each chunk has an equal share of the deadline. `carried`, the paper's:
   * the chunks to come have it, and a chunk is sent at the best level at which it and all of them would still be there in time.
   */
  slack: 'even' | 'carried'
}

export interface LevelAnswer {
  /** How each chunk is sent. */
  levels: (number | 'text')[]
  /** Until the last one is there. */
  seconds: number
}

/**
 * CacheGen's choice of a level for each chunk while a cache is sent (arXiv 2310.07240, and its published script): the highest with which the
 * deadline is met at the bandwidth that the chunk before had, and text that is read again where none is. Chunks decode independently, so the
 * next may come at another level.
 *
 * Deviation: the script and the paper do not say what a chunk costs that takes longer than thought; here it is the time it took.
 */
export function chooseLevels({ chunks, bandwidth, deadline, recompute = 0.2, slack }: LevelQuestion): LevelAnswer {
  const rate = (chunk: number): number => (typeof bandwidth === 'number' ? bandwidth : bandwidth[Math.max(0, chunk)])
  const positive = (x: number): boolean => x > 0 && Number.isFinite(x)
  if (!positive(deadline) || !chunks.every((_, i) => positive(rate(i))))
    throw new BudgetError('A deadline and a bandwidth must be positive: give seconds, and bits per second, of each chunk if of any.')
  let seconds = 0
  const levels = chunks.map((sizes, chunk) => {
    const [rest, time] = slack === 'even' ? [[sizes], deadline / chunks.length] : [chunks.slice(chunk), deadline - seconds]
    const level = sizes.findLastIndex((_, i) => (8 * rest.reduce((sum, own) => sum + own[i], 0)) / rate(chunk - 1) < time) + 1
    seconds += level > 0 ? (8 * sizes[level - 1]) / rate(chunk) : recompute
    return level || 'text'
  })
  return { levels, seconds }
}
