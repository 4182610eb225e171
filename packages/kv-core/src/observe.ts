import type { Kernels, Queries } from '@kvfold/kernels'
import type { Needs, Observation, QueryMoments } from './axes.ts'
import type { Head } from './head.ts'
import type { PagePool } from './page.ts'

/** What one KV head's observations need while a prompt comes in chunks. */
export interface PromptMemory {
  /** [group][count][headDim]: the last rotated queries of the chunks so far, at most as many as a method looks at. */
  queries: Float32Array
  count: number
  /** [group][rows] */
  columnSums?: Float32Array
  moments?: QueryMoments
}

/** One call's softmax over a head: finished queries and their state, the rows before them, the rows' bias. */
export interface Attended {
  head: Head
  queries: Queries
  state: number
  base: number
  bias: number
}

/** Looks at attention for the methods: after a prompt's chunk, after a decode step. */
export class Observer {
  private readonly kernels: Kernels
  private readonly pool: PagePool
  private readonly needs: Needs

  constructor(kernels: Kernels, pool: PagePool, needs: Needs) {
    this.kernels = kernels
    this.pool = pool
    this.needs = needs
  }

  /** Remembers what the last chunk's observation needs of this one: of all its queries, and of those that attended. */
  async chunk(memory: PromptMemory | undefined, all: Queries, attended: Attended): Promise<PromptMemory> {
    const { windowAttention = 0, columnSums, queries } = this.needs
    const next = lastQueries(memory, this.kernels, all, queries ? Infinity : windowAttention)
    next.moments = memory?.moments
    if (columnSums) next.columnSums = await this.columnSums(memory?.columnSums, attended)
    return next
  }

  private async columnSums(before: Float32Array | undefined, { head, queries, state, base, bias }: Attended): Promise<Float32Array> {
    const { kernels, pool } = this
    const { group } = queries
    const sums = new Float32Array(group * head.rows)
    const earlier = before ? before.length / group : 0
    for (let g = 0; g < group && before; g++) sums.set(before.subarray(g * earlier, (g + 1) * earlier), g * head.rows)
    await head.visit(base, bias, ({ rows, start, causal }) => {
      const bytes = group * rows.rows * 4
      const scratch = pool.malloc(bytes)
      kernels.heap.f32.fill(0, scratch >> 2, (scratch + bytes) >> 2)
      kernels.columnSums(state, queries, rows, causal, scratch)
      const seen = kernels.heap.f32
      for (let g = 0; g < group; g++) {
        const from = (scratch >> 2) + g * rows.rows,
          into = g * head.rows + start
        for (let row = 0; row < rows.rows; row++) sums[into + row] += seen[from + row]
      }
      pool.free(scratch, bytes)
    })
    return sums
  }

  /** Adds `count` unrotated queries of each head of a group, `stride` of them apart, to the moments. */
  addMoments(
    before: QueryMoments | undefined,
    address: number,
    group: number,
    stride: number,
    count: number,
    headDim: number,
  ): QueryMoments {
    const { kernels, pool } = this
    const moments = before ?? { count: 0, sum: new Float64Array(group * headDim), gram: new Float64Array(group * headDim * headDim) }
    const bytes = headDim * headDim * 4
    const scratch = pool.malloc(bytes)
    const { heap } = kernels
    for (let g = 0; g < group && count > 0; g++) {
      const from = address + g * stride * headDim * 4
      heap.f32.fill(0, scratch >> 2, (scratch + bytes) >> 2)
      kernels.gram(from, count, headDim, scratch)
      const { f32 } = heap
      for (let at = from >> 2, end = at + count * headDim; at < end; at += headDim)
        for (let c = 0; c < headDim; c++) moments.sum[g * headDim + c] += f32[at + c]
      const gram = moments.gram.subarray(g * headDim * headDim, (g + 1) * headDim * headDim)
      for (let i = 0; i < headDim; i++) {
        for (let j = i; j < headDim; j++) {
          gram[i * headDim + j] += f32[(scratch >> 2) + i * headDim + j]
          gram[j * headDim + i] = gram[i * headDim + j]
        }
      }
    }
    pool.free(scratch, bytes)
    return { ...moments, count: moments.count + count }
  }

  /** The observation at the end of a prompt, or of a chunk of one after which rows may leave. */
  async prompt(memory: PromptMemory, head: Head, group: number, headDim: number, bias: number, more: boolean): Promise<Observation> {
    const { windowAttention = 0, queries } = this.needs
    const window = Math.min(memory.count, windowAttention)
    return {
      moment: 'prefill',
      group,
      more,
      windowAttention: window > 0 ? await this.window(memory, window, head, group, headDim, bias) : undefined,
      columnSums: memory.columnSums,
      queryMoments: memory.moments,
      queries: queries ? { data: memory.queries, count: memory.count } : undefined,
    }
  }

  private async window(
    { queries: all, count }: PromptMemory,
    window: number,
    head: Head,
    group: number,
    headDim: number,
    bias: number,
  ): Promise<{ data: Float32Array; window: number }> {
    const { kernels, pool } = this
    const queryBytes = group * window * headDim * 4,
      logitBytes = group * window * head.rows * 4
    const address = pool.malloc(queryBytes),
      logits = pool.malloc(logitBytes)
    for (let g = 0; g < group; g++) {
      const end = (g + 1) * count * headDim
      kernels.heap.f32.set(all.subarray(end - window * headDim, end), (address >> 2) + g * window * headDim)
    }
    const queries = { address, group, count: window, headDim }
    await head.visit(head.rows - window, bias, ({ rows, start, causal }) =>
      kernels.logits(queries, rows, causal, { address: logits + start * 4, stride: head.rows }),
    )
    kernels.softmax(logits, group * window, head.rows, head.rows)
    const data = kernels.heap.f32.slice(logits >> 2, (logits + logitBytes) >> 2)
    pool.free(address, queryBytes)
    pool.free(logits, logitBytes)
    return { data, window }
  }

  /** The observation after a decode step, from the logits that `attend` wrote. */
  step(head: Head, queries: Queries, state: number, logits: number): Observation {
    const { kernels } = this
    const { group } = queries
    kernels.probabilities(state, queries, { address: logits, stride: head.rows }, head.rows)
    return { moment: 'decode', group, stepAttention: kernels.heap.f32.slice(logits >> 2, (logits >> 2) + group * head.rows) }
  }
}

/** The last `window` queries of the chunks so far and this one. */
function lastQueries(memory: PromptMemory | undefined, kernels: Kernels, queries: Queries, window: number): PromptMemory {
  const { address, group, count, headDim } = queries
  const old = memory?.count ?? 0
  const kept = Math.min(window, old + count)
  const fromOld = Math.max(0, kept - count),
    fromNew = kept - fromOld
  const all = new Float32Array(group * kept * headDim)
  const { f32 } = kernels.heap
  for (let g = 0; g < group; g++) {
    const into = g * kept * headDim
    if (fromOld > 0) all.set(memory!.queries.subarray((g * old + old - fromOld) * headDim, (g + 1) * old * headDim), into)
    const end = (address >> 2) + (g + 1) * count * headDim
    all.set(f32.subarray(end - fromNew * headDim, end), into + fromOld * headDim)
  }
  return { queries: all, count: kept }
}
