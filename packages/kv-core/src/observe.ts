import type { Kernels, Queries } from '@kvfold/kernels'
import type { Needs, Observation } from './axes.ts'
import type { Head } from './head.ts'
import type { PagePool } from './page.ts'

/** What one KV head's observations need while a prompt comes in chunks. */
export interface PromptMemory {
  /** [group][count][headDim]: the last rotated queries of the chunks so far, at most as many as the window. */
  queries: Float32Array
  count: number
  /** [group][rows] */
  columnSums?: Float32Array
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

  /** Remembers what the last chunk's observation needs of this one. `state` is the finished softmax of these queries. */
  async chunk(
    memory: PromptMemory | undefined,
    head: Head,
    queries: Queries,
    state: number,
    base: number,
    bias: number,
  ): Promise<PromptMemory> {
    const { windowAttention = 0, columnSums } = this.needs
    const next = lastQueries(memory, this.kernels, queries, windowAttention)
    if (columnSums) next.columnSums = await this.columnSums(memory?.columnSums, head, queries, state, base, bias)
    return next
  }

  private async columnSums(
    before: Float32Array | undefined,
    head: Head,
    queries: Queries,
    state: number,
    base: number,
    bias: number,
  ): Promise<Float32Array> {
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

  /** The observation at the end of a prompt. */
  async prompt(memory: PromptMemory, head: Head, group: number, headDim: number, bias: number): Promise<Observation> {
    const windowAttention = memory.count > 0 ? await this.window(memory, head, group, headDim, bias) : undefined
    return { moment: 'prefill', group, windowAttention, columnSums: memory.columnSums }
  }

  private async window(
    memory: PromptMemory,
    head: Head,
    group: number,
    headDim: number,
    bias: number,
  ): Promise<{ data: Float32Array; window: number }> {
    const { kernels, pool } = this
    const window = memory.count
    const queryBytes = memory.queries.byteLength,
      logitBytes = group * window * head.rows * 4
    const address = pool.malloc(queryBytes),
      logits = pool.malloc(logitBytes)
    kernels.heap.f32.set(memory.queries, address >> 2)
    const queries = { address, group, count: window, headDim }
    await head.visit(head.rows - window, bias, ({ rows, start, causal }) =>
      kernels.logits(queries, rows, causal, { address: logits + start * 4, stride: head.rows }),
    )
    const data = kernels.heap.f32.slice(logits >> 2, (logits + logitBytes) >> 2)
    pool.free(address, queryBytes)
    pool.free(logits, logitBytes)
    softmaxRows(data, head.rows)
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

/** Softmax of each row of logits, in place. */
function softmaxRows(data: Float32Array, rows: number): void {
  for (let at = 0; at < data.length; at += rows) {
    let max = -Infinity,
      sum = 0
    for (let i = at; i < at + rows; i++) if (data[i] > max) max = data[i]
    for (let i = at; i < at + rows; i++) sum += data[i] = Math.exp(data[i] - max)
    for (let i = at; i < at + rows; i++) data[i] /= sum
  }
}
