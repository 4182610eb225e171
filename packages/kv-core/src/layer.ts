import type { Borrowed, Kernels, Queries, Tensor } from '@kvfold/kernels'
import { softmaxStateBytes } from '@kvfold/kernels'
import type { Observation } from './axes.ts'
import { prefillBlocks } from './prefill-blocks.ts'
import { DisposedError, NotFiniteError, ShapeError } from './errors.ts'
import type { Head } from './head.ts'
import type { AttendInput, LayerCache } from './layer-cache.ts'
import type { Observer, PromptMemory } from './observe.ts'
import type { PagePool } from './page.ts'
import type { Planner } from './planner.ts'
import type { Policy } from './policy.ts'
import type { Rotary } from './rotary.ts'
import type { CacheShape } from './shape.ts'

/** What the layers of a cache share. */
export interface Shared {
  shape: CacheShape
  kernels: Kernels
  pool: PagePool
  policy: Policy
  rotary: Rotary | undefined
  observer: Observer
  planner: Planner
}

/** One call. */
interface Step {
  /** New tokens, and queries: those of the last `m` of them. */
  n: number
  m: number
  /** Where the rotated queries lie in the heap, [queryHeads][m][headDim]. */
  queries: number
  /** Rows per head before this call. */
  rowsBefore: number[]
  decode: boolean
}

export class Layer implements LayerCache {
  seen = 0
  readonly heads: Head[]
  private readonly index: number
  private readonly shared: Shared
  private busy = false
  private disposed = false
  /** By head, while a prompt comes in chunks. */
  private prompt: PromptMemory[] | undefined

  constructor(shared: Shared, index: number, heads: Head[], from?: Layer) {
    this.shared = shared
    this.index = index
    this.heads = heads
    this.seen = from?.seen ?? 0
    this.prompt = from?.prompt
  }

  get promptQueries(): number {
    const { attention, needs } = this.shared.policy
    return attention || needs.columnSums ? Infinity : (needs.windowAttention ?? 0)
  }

  async attend(input: AttendInput): Promise<Tensor> {
    if (this.disposed) throw new DisposedError('This cache was disposed: make a new one.')
    if (this.busy) throw new DisposedError('This layer is still attending: await one call before the next.')
    const n = this.checkShapes(input)
    this.busy = true
    const borrowed: Borrowed[] = []
    try {
      for (const tensor of [input.q, input.k, input.v]) borrowed.push(await this.shared.kernels.borrow(tensor))
      const [q, k, v] = borrowed.map((b) => b.address)
      this.checkFinite(q, k, v, n, input.q.shape[1])
      return await this.step(input, n, q, k, v)
    } finally {
      for (const b of borrowed) b.release()
      this.busy = false
    }
  }

  private async step({ q: like, more = false }: AttendInput, n: number, q: number, k: number, v: number): Promise<Tensor> {
    const { shape, pool, planner } = this.shared
    const { queryHeads, headDim } = shape
    const decode = n === 1 && this.seen > 0 && !this.prompt && !more
    const m = like.shape[1]
    const bytes = queryHeads * m * headDim * 4
    const queries = pool.malloc(bytes)
    const rowsBefore = this.heads.map((head) => head.rows)
    let answer: { result: Tensor; observations: (Observation | undefined)[] }
    try {
      this.rotateQueries(q, queries, n, m)
      this.append(k, v, n, rowsBefore)
      answer = await this.attendHeads(like, { n, m, queries, rowsBefore, decode }, more)
    } catch (error) {
      // Nothing of a failed call stays: the caller may try it again.
      this.heads.forEach((head, h) => head.truncate(rowsBefore[h]))
      throw error
    } finally {
      pool.free(queries, bytes)
    }
    this.seen += n
    try {
      if (!more) await planner.plan(this.index, decode ? 'decode' : 'prefill', answer.observations as Observation[], this.seen)
    } catch (error) {
      discard(answer.result)
      throw error
    }
    return answer.result
  }

  private async attendHeads(
    like: Tensor,
    step: Step,
    more: boolean,
  ): Promise<{ result: Tensor; observations: (Observation | undefined)[] }> {
    const { shape, kernels } = this.shared
    const output = kernels.output(like, [shape.queryHeads, step.m, shape.headDim])
    const observations: (Observation | undefined)[] = [],
      memories: PromptMemory[] = []
    try {
      for (let h = 0; h < this.heads.length; h++) {
        const { observation, memory } = await this.attendHead(h, step, output.address, more)
        observations.push(observation)
        if (memory) memories.push(memory)
      }
    } catch (error) {
      discard(output.finish())
      throw error
    }
    this.prompt = more ? memories : undefined
    return { result: output.finish(), observations }
  }

  private async attendHead(
    h: number,
    step: Step,
    output: number,
    more: boolean,
  ): Promise<{ observation?: Observation; memory?: PromptMemory }> {
    const { shape, kernels, pool, policy, observer } = this.shared
    const { headDim } = shape
    const { n, m, decode } = step
    const head = this.heads[h]
    const group = shape.queryHeads / shape.kvHeads
    const offset = h * group * m * headDim * 4
    const queries: Queries = { address: step.queries + offset, group, count: m, headDim }
    const base = decode ? -1 : step.rowsBefore[h] + n - m
    const bias = this.uploadBias(head)
    const observeStep = decode && policy.needs.stepAttention
    const stateBytes = softmaxStateBytes(queries),
      logitBytes = observeStep ? group * head.rows * 4 : 0
    const state = pool.malloc(stateBytes),
      logits = observeStep ? pool.malloc(logitBytes) : 0
    try {
      kernels.begin(state, queries)
      if (decode) {
        const wait = head.visit(-1, bias, ({ rows, start }) =>
          kernels.attend(state, queries, rows, observeStep ? { address: logits + start * 4, stride: head.rows } : undefined),
        )
        if (wait) await wait
      } else {
        const blocks = prefillBlocks(this.shared, head, this.index, h, queries, base)
        try {
          await head.visit(base, bias, ({ rows, causal }) => kernels.prefill(state, queries, rows, causal, blocks))
        } finally {
          blocks?.free()
        }
      }
      kernels.finish(state, queries, output + offset)
      if (decode) return { observation: observeStep ? observer.step(head, queries, state, logits) : { moment: 'decode', group } }
      const memory = await observer.chunk(m === n ? this.prompt?.[h] : undefined, head, queries, state, base, bias)
      return { memory, observation: more ? undefined : await observer.prompt(memory, head, group, headDim, bias) }
    } finally {
      pool.free(state, stateBytes)
      if (logits) pool.free(logits, logitBytes)
      if (bias) pool.free(bias, head.rows * 4)
    }
  }

  /** A head's logit bias in the heap, 0 if no method keeps one. */
  private uploadBias(head: Head): number {
    if (!head.columns.has('bias')) return 0
    const { pool, kernels } = this.shared
    const address = pool.malloc(head.rows * 4)
    kernels.heap.f32.set(head.columns.get('bias'), address >> 2)
    return address
  }

  private rotateQueries(q: number, into: number, n: number, m: number): void {
    const { shape, kernels, rotary } = this.shared
    const bytes = m * shape.headDim * 4
    if (!rotary) {
      kernels.heap.u8.copyWithin(into, q, q + shape.queryHeads * bytes)
      return
    }
    const { cos, sin } = rotary.tables(this.seen, n)
    const skipped = (n - m) * shape.headDim * 2
    for (let h = 0; h < shape.queryHeads; h++) kernels.rope(q + h * bytes, into + h * bytes, m, shape.headDim, cos + skipped, sin + skipped)
  }

  /** Appends rotated keys, values and positions to every head. */
  private append(k: number, v: number, n: number, rowsBefore: number[]): void {
    const { shape, kernels, rotary } = this.shared
    const { headDim } = shape
    const half = headDim / 2
    const width = headDim * 4
    this.heads.forEach((head, h) => {
      const keys = k + h * n * width,
        values = v + h * n * width
      head.arrivals.keys.append(n, (first, rows, address) => {
        const from = keys + first * width
        if (!rotary) kernels.heap.u8.copyWithin(address, from, from + rows * width)
        else {
          const { cos, sin } = rotary.tables(this.seen, n)
          kernels.rope(from, address, rows, headDim, cos + first * half * 4, sin + first * half * 4)
        }
      })
      head.arrivals.values.append(n, (first, rows, address) =>
        kernels.heap.u8.copyWithin(address, values + first * width, values + (first + rows) * width),
      )
      head.columns.append(n)
      const positions = head.columns.get('position')
      for (let i = 0; i < n; i++) positions[rowsBefore[h] + i] = this.seen + i
    })
  }

  /** The number of new tokens. */
  private checkShapes({ q, k, v }: AttendInput): number {
    const { queryHeads, kvHeads, headDim } = this.shared.shape
    const n = k.shape[1]
    const check = (name: string, tensor: Tensor, heads: number): void => {
      const [a, b, c] = tensor.shape
      if (tensor.shape.length !== 3 || a !== heads || !(name === 'q' ? b >= 1 && b <= n : b === n) || c !== headDim || !(n >= 1))
        throw new ShapeError(
          `${name} has shape [${tensor.shape.join(', ')}]: it must be [${heads}, n, ${headDim}] with the same n >= 1 in q, k and v (fewer in q if only the last ones matter).`,
        )
      if (tensor.dtype !== 'float32') throw new ShapeError(`${name} is ${tensor.dtype}: cast it to float32.`)
    }
    check('q', q, queryHeads)
    check('k', k, kvHeads)
    check('v', v, kvHeads)
    return n
  }

  private checkFinite(q: number, k: number, v: number, n: number, m: number): void {
    const { shape, kernels } = this.shared
    const { headDim, queryHeads, kvHeads } = shape
    for (const [name, address, rows] of [
      ['q', q, queryHeads * m],
      ['k', k, kvHeads * n],
      ['v', v, kvHeads * n],
    ] as const) {
      if (!kernels.isFinite(address, rows * headDim))
        throw new NotFiniteError(
          `${name} of layer ${this.index} holds NaN or infinity at position ${this.seen} or after: the model before it is broken.`,
        )
    }
  }

  dispose(): void {
    this.disposed = true
    this.prompt = undefined
    for (const head of this.heads) head.dispose()
  }
}

function discard(tensor: Tensor): void {
  ;(tensor as { dispose?(): void }).dispose?.()
}
