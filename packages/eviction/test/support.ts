import { createRandom, highestScores, type HeadView, type Observation, type Parts, type Preset } from '@kvfold/kv-core'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { readSafetensors, type StoredTensor } from '../../../tooling/safetensors.ts'

export type Golden = StoredTensor

/** Reads a file of `data/`. */
export function readGolden(name: string): Record<string, Golden> {
  return readSafetensors(new URL(`./data/${name}.safetensors`, import.meta.url))
}

/** A call of an official function, as `data/cases.json` describes it. */
export interface Case {
  id: string
  file: string
  source: { repo: string }
  // oxlint-disable-next-line no-explicit-any
  args: Record<string, any>
  inputs: Record<string, string>
  outputs: Record<string, string>
  // oxlint-disable-next-line no-explicit-any
  values?: any
}

export const cases: Case[] = JSON.parse(readFileSync(new URL('./data/cases.json', import.meta.url), 'utf8'))

/** Row `index` of the last axis, counted over all axes before it. */
export function lastAxis(tensor: Golden, index: number): number[] {
  const width = tensor.shape.at(-1)!
  return Array.from(tensor.data.subarray(index * width, (index + 1) * width))
}

/** Causal softmax attention of the last `window` queries, plain and in float64: [heads][window][rows]. q [heads][n][d], k [kvHeads][n][d]. */
export function attention(q: Golden, k: Golden, window: number): Float64Array[][] {
  const [heads, n, d] = q.shape.slice(-3)
  const group = heads / k.shape.at(-3)!
  return Array.from({ length: heads }, (_, h) =>
    Array.from({ length: window }, (_, i) => {
      const query = n - window + i
      const logits = new Float64Array(n).fill(-Infinity)
      for (let j = 0; j <= query; j++) {
        let dot = 0
        for (let c = 0; c < d; c++) dot += q.data[(h * n + query) * d + c] * k.data[(Math.floor(h / group) * n + j) * d + c]
        logits[j] = dot / Math.sqrt(d)
      }
      return softmax(logits)
    }),
  )
}

export function softmax(logits: Float64Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b))
  const weights = logits.map((logit) => Math.exp(logit - most))
  const sum = weights.reduce((a, b) => a + b)
  return weights.map((weight) => weight / sum)
}

/** What the core would hand over at the end of a prompt, for query heads given as [group][window][rows]. */
export function promptSeen(heads: readonly (readonly ArrayLike<number>[])[]): Observation {
  const rows = heads[0]?.[0]?.length ?? 0
  const window = heads[0]?.length ?? 0
  const data = Float32Array.from(heads.flatMap((queries) => queries.flatMap((row) => Array.from(row))))
  const columnSums = Float32Array.from(
    heads.flatMap((queries) => Array.from({ length: rows }, (_, j) => queries.reduce((a, row) => a + row[j], 0))),
  )
  return { moment: 'prefill', group: heads.length, windowAttention: { data, window }, columnSums }
}

/** What the core would hand over after a decode step, for query heads given as [group][rows]. */
export function stepSeen(heads: readonly ArrayLike<number>[]): Observation {
  return { moment: 'decode', group: heads.length, stepAttention: Float32Array.from(heads.flatMap((row) => Array.from(row))) }
}

/** One head without values, and with keys only if they are handed over; columns come into being as they are asked for. */
export function headOf(
  rows: number,
  positions?: readonly number[],
  columns: Record<string, Float32Array> = {},
  keys?: Float32Array,
): HeadView {
  const none = (): never => {
    throw new Error('This method was given no keys and values to read.')
  }
  return {
    layer: 0,
    head: 0,
    rows,
    headDim: keys ? keys.length / rows : 16,
    seen: rows,
    positions: Float32Array.from({ length: rows }, (_, i) => positions?.[i] ?? i),
    column: (name) => (columns[name] ??= new Float32Array(rows)),
    keys: () => keys?.slice() ?? none(),
    values: none,
    logits: none,
    attention: none,
    rope: 'external',
    memory: {},
    moved: 0,
    foldable: () => true,
  }
}

/** A preset's own parts, and its fallback where it claims nothing. */
export function partsOf(preset: Preset): Parts {
  return { ...preset.fallback, ...preset }
}

/** Scores, then the rows that stay. */
export function keep(preset: Preset, seen: Observation, head: HeadView, rows: number): number[] {
  const { score, select } = partsOf(preset)
  return Array.from((select ?? highestScores).select(score!.score(seen, head), rows, head))
}

export function ascending(values: ArrayLike<number>): number[] {
  return Array.from(values).sort((a, b) => a - b)
}

/** The largest |a - b| beyond atol + rtol * |b|; not above 0 if all agree. */
export function excess(ours: ArrayLike<number>, theirs: ArrayLike<number>, rtol: number, atol: number): number {
  if (ours.length !== theirs.length) return Infinity
  let worst = -Infinity
  for (let i = 0; i < ours.length; i++) worst = Math.max(worst, Math.abs(ours[i] - theirs[i]) - atol - rtol * Math.abs(theirs[i]))
  return worst
}

/** Attention of a random prompt's last queries, causal: [group][window][rows]. */
export interface Prompt {
  rows: number
  window: number
  heads: Float64Array[][]
}

/** Prompts of 1 to `longest` rows; `asked` queries at most, or all (`Infinity`). */
export function prompts(longest: number, asked: number): fc.Arbitrary<Prompt> {
  return fc
    .record({ rows: fc.integer({ min: 1, max: longest }), group: fc.integer({ min: 1, max: 3 }), seed: fc.nat() })
    .map(({ rows, group, seed }) => {
      const random = createRandom(seed)
      const window = Math.min(rows, asked)
      const query = (i: number) =>
        softmax(Float64Array.from({ length: rows }, (_, j) => (j <= rows - window + i ? random() * 8 : -Infinity)))
      return { rows, window, heads: Array.from({ length: group }, () => Array.from({ length: window }, (_, i) => query(i))) }
    })
}

/** True for row indices as a selector must return them. */
export function isAscending(kept: readonly number[], rows: number): boolean {
  return kept.every((row, i) => row < rows && (i === 0 ? row >= 0 : row > kept[i - 1]))
}

/** The last `count` of `rows` rows. */
export function newest(rows: number, count: number): number[] {
  return Array.from({ length: Math.min(rows, count) }, (_, i) => rows - Math.min(rows, count) + i)
}
