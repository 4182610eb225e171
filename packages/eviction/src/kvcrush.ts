import { createRandom, defineMethod, highestScores, topRows, type HeadView, type Method, type Selector } from '@kvfold/kv-core'
import { z } from 'zod'
import { snapkv } from './snapkv.ts'

type Anchor = 'random' | 'mean' | 'inverse' | 'alternating' | 'zeros' | 'ones'

const params: z.ZodObject<{
  share: z.ZodDefault<z.ZodNumber>
  anchor: z.ZodDefault<z.ZodLiteral<Anchor>>
  spread: z.ZodDefault<z.ZodLiteral<'even' | 'stride'>>
}> = z.object({
  share: z.number().min(0).max(1).default(0.06).describe('share of the open rows of a budget that goes to representatives'),
  anchor: z
    .literal(['random', 'mean', 'inverse', 'alternating', 'zeros', 'ones'])
    .default('alternating')
    .describe('the signature from which distances are taken'),
  spread: z.literal(['even', 'stride']).default('even').describe('even: from end to end of the list; stride: every so many, as OpenVINO'),
})

/**
 * KVCrush: Key Value Cache Size-Reduction Using Similarity in Head-Behaviour (arXiv 2503.00022): over any scorer, a part of the budget goes to
 * representatives of the rows that would leave. A row's signature has a bit per KV head of the layer: is it in the better half of that head's
 * scores? Rows that the scores do not keep are sorted by the Hamming distance of their signature from an anchor (then by age), and
 * representatives are taken evenly from that list. Protected rows and the best ones stay besides. Brings SnapKV along.
 *
 * Defaults: 6 % representatives (OpenVINO's examples; their gains are small and mixed, and 25 %, as in a vLLM experiment, lost), alternating
 * anchor, evenly spaced. The paper's text was not at hand: bits at one half and the buckets are reconstructed from its abstract and two
 * implementations (openvino.genai da1db864, a vLLM file). There the heads keep one common set; here each head keeps its scorer's best, and
 * the representatives of its own rest. Where heads hold different rows (Ada-KV), a signature is the head's own bit.
 */
export const kvcrush: Method<typeof params> = defineMethod({
  name: 'kvcrush',
  axes: ['select'],
  paper: { title: 'KVCrush: Key Value Cache Size-Reduction Using Similarity in Head-Behaviour', arxiv: '2503.00022', year: 2025 },
  summary: 'A part of the budget goes to representatives of the rows that would leave.',
  params,
  create: ({ share, anchor, spread }) => {
    const { score, fallback } = snapkv()
    return { select: withRepresentatives(share, anchor, spread), fallback: { score, budget: fallback!.budget } }
  },
})

function withRepresentatives(share: number, anchor: Anchor, spread: 'even' | 'stride'): Selector {
  const selectLayer = (scores: readonly Float32Array[], rows: readonly number[], heads: readonly HeadView[]): Uint32Array[] => {
    const together = heads.every((head) => head.rows === heads[0].rows)
    return heads.map((head, h) => {
      const open = openRows(scores[h])
      const room = rows[h] - (head.rows - open.length)
      const count = Math.max(0, Math.floor(room * share))
      const best = highestScores.select(scores[h], rows[h] - count, head)
      if (count === 0) return best
      const bits = signatures(together ? scores : [scores[h]], open)
      const from = anchorBits(anchor, bits, createRandom((head.layer * 1009 + h) * 1013 + head.seen))
      const kept = new Set(best)
      const rest = open.filter((row) => !kept.has(row))
      return Uint32Array.from([...best, ...representatives(rest, distances(bits, from), count, spread)]).sort()
    })
  }
  return { selectLayer, select: (scores, rows, head) => selectLayer([scores], [rows], [head])[0] }
}

function openRows(scores: Float32Array): number[] {
  return [...scores.keys()].filter((row) => scores[row] !== Infinity)
}

/** By row: a bit per head, 1 where it is in the better half of the open rows by that head's scores (as a Uint8Array [heads]). */
export function signatures(scores: readonly Float32Array[], open: readonly number[]): Map<number, Uint8Array> {
  const bits = new Map(open.map((row) => [row, new Uint8Array(scores.length)]))
  scores.forEach((own, h) => {
    const values = Float32Array.from(open, (row) => own[row])
    for (const i of topRows(values, Math.floor(open.length / 2))) bits.get(open[i])![h] = 1
  })
  return bits
}

export function anchorBits(anchor: Anchor, bits: Map<number, Uint8Array>, random: () => number): Uint8Array {
  const heads = bits.values().next().value?.length ?? 0
  return Uint8Array.from({ length: heads }, (_, h) => {
    if (anchor === 'random') return random() < 0.5 ? 0 : 1
    if (anchor === 'zeros') return 0
    if (anchor === 'ones') return 1
    if (anchor === 'alternating') return h % 2
    let ones = 0
    for (const own of bits.values()) ones += own[h]
    const most = ones > bits.size / 2 ? 1 : 0
    return anchor === 'mean' ? most : 1 - most
  })
}

export function distances(bits: Map<number, Uint8Array>, anchor: Uint8Array): Map<number, number> {
  return new Map([...bits].map(([row, own]) => [row, own.reduce((sum, bit, h) => sum + (bit ^ anchor[h]), 0)]))
}

/** `count` of the rows, evenly from the list sorted by distance, then age. */
export function representatives(
  rows: readonly number[],
  distance: Map<number, number>,
  count: number,
  spread: 'even' | 'stride',
): number[] {
  const sorted = [...rows].sort((a, b) => distance.get(a)! - distance.get(b)! || a - b)
  if (count >= sorted.length) return sorted
  const at = (i: number): number =>
    spread === 'stride' ? i * Math.floor(sorted.length / count) : count === 1 ? 0 : Math.floor((i * (sorted.length - 1)) / (count - 1))
  return Array.from({ length: count }, (_, i) => sorted[at(i)])
}
