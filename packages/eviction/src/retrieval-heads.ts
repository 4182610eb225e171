/** How much a head looks at earlier copies of the token at hand, and at what followed them. */
export interface HeadScore {
  echo: number
  induction: number
}

/** One query's attention: `index` is the query's place in the repeated block's text, `attention` its row over that text from place 0 on. */
export interface AttentionRow {
  index: number
  attention: ArrayLike<number>
}

/** A KV head that looks far back. */
export interface RetrievalHead {
  layer: number
  head: number
}

/** Shares of all KV heads of the model. */
export interface RetrievalShares {
  /** Default 0.01. */
  echo?: number
  /** Default 0.14. */
  induction?: number
}

/**
 * Scores one query head by RazorAttention's test (arXiv 2407.15891; its details as in Ascend/msmodelslim): the model reads a block of
 * `block` random tokens several times over (2500 of them, 4 times), after a first token whose row and column are cut off before. A row
 * looks at its token's earlier copies (echo) and at the places after them (induction). The scores are the means over the rows handed over,
 * which may come one by one; those of the first copy have nothing to look back at and do not count.
 */
export function retrievalScore(rows: Iterable<AttentionRow>, block: number): HeadScore {
  let count = 0
  let echo = 0
  let induction = 0
  for (const { index, attention } of rows) {
    if (index < block) continue
    for (let copy = index % block; copy < index; copy += block) {
      echo += attention[copy]
      induction += attention[copy + 1]
    }
    count++
  }
  return count === 0 ? { echo: 0, induction: 0 } : { echo: echo / count, induction: induction / count }
}

/**
 * The retrieval heads of a model, from the scores [layer][queryHead]: a KV head's score is its best query head's, all KV heads of the
 * model are ranked together, and the best round(share * heads) by induction and by echo are taken, with all that tie with the last of
 * them. Of few heads that may be none by echo. In the order of layers and heads.
 */
export function retrievalHeads(
  scores: readonly (readonly HeadScore[])[],
  kvHeads: number,
  { echo = 0.01, induction = 0.14 }: RetrievalShares = {},
): RetrievalHead[] {
  const all = scores.flatMap((heads, layer) => {
    const group = heads.length / kvHeads
    return Array.from({ length: kvHeads }, (_, head) => {
      const own = heads.slice(head * group, (head + 1) * group)
      return { layer, head, echo: Math.max(...own.map((one) => one.echo)), induction: Math.max(...own.map((one) => one.induction)) }
    })
  })
  const least = (kind: keyof HeadScore, share: number): number => {
    const ranked = all.map((one) => one[kind]).sort((a, b) => b - a)
    return ranked[Math.round(share * all.length) - 1] ?? Infinity
  }
  const byEcho = least('echo', echo)
  const byInduction = least('induction', induction)
  return all.filter((one) => one.echo >= byEcho || one.induction >= byInduction).map(({ layer, head }) => ({ layer, head }))
}
