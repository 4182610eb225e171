/** A run of new tokens after which the policy may plan: a whole call, unless rows leave while a prompt is read. */
export interface PieceSizes {
  /** Its first token in the call, and how many tokens it has; the call's own number of tokens. */
  from: number
  n: number
  ofTokens: number
  /** Its first query in the call, and how many it has; the call's own number of queries. */
  queryFrom: number
  m: number
  ofQueries: number
  /** Its first output in the call, and how many it has; the call's own number of outputs. */
  outputFrom: number
  outputs: number
  ofOutputs: number
  /** How many of its last queries attend: those with outputs, or all if the policy looks at attention. */
  attending: number
  /** Further tokens of the prompt follow. */
  more: boolean
  /** The policy plans after it. */
  plans: boolean
}

/** A piece at work. */
export interface Piece extends PieceSizes {
  /** Where rotated queries lie in the heap: all, [queryHeads][m][headDim], and those that attend (the same if all do). */
  queries: number
  attendingQueries: number
  /** Rows per head before this piece. */
  rowsBefore: number[]
  decode: boolean
}

/** What a call brings: its tokens, queries (those of the last tokens) and outputs wanted (those of the last queries). */
export interface CallSizes {
  tokens: number
  queries: number
  outputs: number
  /** More chunks of the same prompt follow. */
  more: boolean
}

/**
 * The pieces of a call. With a finite `chunk` each ends where that many tokens of the prompt are full: `inPrompt` of them came before.
 * `allAttend`: all queries do, not only those whose outputs are wanted.
 */
export function* pieces(call: CallSizes, chunk: number, inPrompt: number, allAttend: boolean): Generator<PieceSizes> {
  const { tokens, queries, outputs, more } = call
  /** How many of the last `count` of the call's tokens come before token `to`. */
  const before = (to: number, count: number): number => Math.max(0, to - (tokens - count))
  for (let from = 0, n: number; from < tokens; from += n) {
    const inChunk = chunk === Infinity ? 0 : (inPrompt + from) % chunk
    n = Math.min(tokens - from, chunk - inChunk)
    const m = before(from + n, queries) - before(from, queries),
      wanted = before(from + n, outputs) - before(from, outputs)
    const follows = more || from + n < tokens
    yield {
      from,
      n,
      ofTokens: tokens,
      queryFrom: before(from, queries),
      m,
      ofQueries: queries,
      outputFrom: before(from, outputs),
      outputs: wanted,
      ofOutputs: outputs,
      attending: allAttend ? m : wanted,
      more: follows,
      plans: !follows || inChunk + n === chunk,
    }
  }
}
