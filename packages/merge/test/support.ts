import type { FoldPlan, HeadView, Leaving, Observation, Parts, Preset } from '@kvfold/kv-core'
import { readSafetensors, type StoredTensor } from '../../../tooling/safetensors.ts'

export type Golden = StoredTensor

/** Reads a file of `data/`. */
export function readGolden(name: string): Record<string, Golden> {
  return readSafetensors(new URL(`./data/${name}.safetensors`, import.meta.url))
}

/** Rows of one head, as a test writes them down. */
export type Rows = readonly ArrayLike<number>[]

export interface Given {
  positions?: readonly number[]
  columns?: Record<string, Float32Array>
  /** Rows that are packed already. */
  packed?: readonly number[]
}

/** One head with these keys; columns come into being as they are asked for, unless handed over. */
export function headOf(keys: Rows, { positions, columns = {}, packed = [] }: Given = {}): HeadView {
  const rows = keys.length
  return {
    layer: 0,
    head: 0,
    rows,
    headDim: keys[0]?.length ?? 1,
    seen: rows,
    positions: Float32Array.from({ length: rows }, (_, i) => positions?.[i] ?? i),
    column: (name) => (columns[name] ??= new Float32Array(rows)),
    keys: () => Float32Array.from(keys.flatMap((key) => Array.from(key))),
    values: () => {
      throw new Error('D2O reads no values.')
    },
    logits(queries, count) {
      const headDim = keys[0].length
      return Float32Array.from({ length: count * rows }, (_, at) => {
        const query = queries.subarray(Math.floor(at / rows) * headDim)
        return Array.from(keys[at % rows]).reduce((sum, x, c) => sum + x * query[c], 0) / Math.sqrt(headDim)
      })
    },
    attention: () => {
      throw new Error('D2O asks for no attention.')
    },
    rope: 'external',
    memory: {},
    moved: 0,
    foldable: (row) => !packed.includes(row),
  }
}

/** A head where `kept` stay and the others leave. */
export function leaving(keys: Rows, kept: readonly number[], given?: Given): Leaving {
  const left = [...keys.keys()].filter((row) => !kept.includes(row))
  return { kept: Uint32Array.from(kept), left: Uint32Array.from(left), head: headOf(keys, given) }
}

/** The kept rows after the fold, as the core makes them. */
export function apply(rows: Rows, kept: ArrayLike<number>, plan?: FoldPlan): Float64Array[] {
  return Array.from(kept, (row) => {
    if (!plan?.into.includes(row)) return Float64Array.from(rows[row])
    const sum = new Float64Array(rows[row].length)
    plan.into.forEach((into, entry) => {
      if (into === row) for (let c = 0; c < sum.length; c++) sum[c] += plan.weights[entry] * rows[plan.from[entry]][c]
    })
    return sum
  })
}

/** What the core would hand over, for query heads given as [group][rows]. */
export function seen(moment: Observation['moment'], heads: Rows): Observation {
  const data = Float32Array.from(heads.flatMap((row) => Array.from(row)))
  return { moment, group: heads.length, ...(moment === 'prefill' ? { columnSums: data } : { stepAttention: data }) }
}

/** A preset's own parts, and its fallback where it claims nothing. */
export function partsOf(preset: Preset): Parts {
  return { ...preset.fallback, ...preset }
}

/** The largest |a - b| beyond atol + rtol * |b|; not above 0 if all agree. */
export function excess(ours: ArrayLike<number>, theirs: ArrayLike<number>, rtol: number, atol: number): number {
  if (ours.length !== theirs.length) return Infinity
  let worst = -Infinity
  for (let i = 0; i < ours.length; i++) worst = Math.max(worst, Math.abs(ours[i] - theirs[i]) - atol - rtol * Math.abs(theirs[i]))
  return worst
}
