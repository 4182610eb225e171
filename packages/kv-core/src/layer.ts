import type { Borrowed, Kernels, Output, Queries, Tensor } from '@kvfold/kernels'
import { softmaxStateBytes } from '@kvfold/kernels'
import type { Basis, Needs, Observation } from './axes.ts'
import { checkFinite, checkShapes } from './check-input.ts'
import { DisposedError } from './errors.ts'
import type { Head } from './head.ts'
import { restoreLayer } from './in-basis.ts'
import type { AttendInput, LayerCache } from './layer-cache.ts'
import type { Attended, Observer, PromptMemory } from './observe.ts'
import type { PagePool } from './page.ts'
import type { PageList, WriteRows } from './page-list.ts'
import { pieces, type Piece } from './piece.ts'
import type { Planner } from './planner.ts'
import type { Policy } from './policy.ts'
import { prefillBlocks } from './prefill-blocks.ts'
import type { SecondReading } from './reconstruction.ts'
import type { Rotary } from './rotary.ts'
import type { CacheShape } from './shape.ts'

/** What the layers of a cache share. */
export interface Shared {
  shape: CacheShape
  kernels: Kernels
  pool: PagePool
  policy: Policy
  /** The policy's, and those of a recording. */
  needs: Needs
  rotary: Rotary | undefined
  basis: Basis | undefined
  observer: Observer
  planner: Planner
  /** While a prompt that waits for it is read a second time. */
  reading?: SecondReading
  /** Told of what is seen when a prompt ends. */
  record?: (layer: number, observations: Observation[]) => void
}

/** Addresses of a call's tensors. */
interface Tensors {
  q: number
  k: number
  v: number
  /** 0: none. */
  retaining: number
}

export class Layer implements LayerCache {
  seen = 0
  /** Tokens of the prompt so far, while more are to come. */
  promptTokens = 0
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
    this.promptTokens = from?.promptTokens ?? 0
    this.prompt = from?.prompt
  }

  get promptQueries(): number {
    const { policy, needs } = this.shared
    const { queries, queryMoments, retaining, windowAttention = 0 } = needs
    const all = this.looksAtAttention || policy.trigger?.chunk || queries || retaining || queryMoments !== undefined
    return all ? Infinity : windowAttention
  }

  /** True if the policy needs the softmax of all of a prompt's queries. */
  private get looksAtAttention(): boolean {
    const { policy, needs } = this.shared
    return policy.attention !== undefined || (needs.columnSums ?? needs.reconstruction ?? false)
  }

  /** True while a call runs. */
  get attending(): boolean {
    return this.busy
  }

  get retaining(): boolean {
    return this.shared.needs.retaining ?? false
  }

  async attend(input: AttendInput): Promise<Tensor> {
    if (this.disposed) throw new DisposedError('This cache was disposed: make a new one.')
    if (this.busy) throw new DisposedError('This layer is still attending: await one call before the next.')
    const { shape, kernels, planner, reading, policy } = this.shared
    const n = checkShapes(input, shape, this.retaining, policy.text)
    if (!reading) planner.checkReady(this.index)
    this.busy = true
    const borrowed: Borrowed[] = []
    try {
      for (const tensor of [input.q, input.k, input.v, ...(this.retaining ? [input.retaining!] : [])])
        borrowed.push(await kernels.borrow(tensor))
      const [q, k, v, retaining = 0] = borrowed.map((b) => b.address)
      checkFinite(
        kernels,
        shape,
        { q, k, v },
        { n, m: input.q.shape[1] },
        `layer ${this.index} holds NaN or infinity at position ${this.seen}`,
      )
      return await this.run(input, n, { q, k, v, retaining })
    } finally {
      for (const b of borrowed) b.release()
      this.busy = false
    }
  }

  private async run({ q: like, outputs = like.shape[1], more = false }: AttendInput, n: number, tensors: Tensors): Promise<Tensor> {
    const { shape, kernels, policy, reading } = this.shared
    const queries = like.shape[1]
    const chunk = policy.trigger?.chunk ?? Infinity
    const decode = n === 1 && this.seen > 0 && this.promptTokens === 0 && !more && !reading
    const output = kernels.output(like, [shape.queryHeads, outputs, shape.headDim])
    try {
      for (const sizes of pieces({ tokens: n, queries, outputs, more }, chunk, this.promptTokens, this.looksAtAttention)) {
        const rowsBefore = this.heads.map((head) => head.rows)
        await this.piece(output, tensors, {
          ...sizes,
          plans: sizes.plans && !reading,
          queries: 0,
          attendingQueries: 0,
          rowsBefore,
          decode,
        })
      }
    } catch (error) {
      discard(output.finish())
      throw error
    }
    return output.finish()
  }

  private async piece(output: Output, tensors: Tensors, piece: Piece): Promise<void> {
    const { shape, pool, needs, planner, reading, record, basis } = this.shared
    const { n, m, attending, decode, more, plans } = piece
    const width = shape.queryHeads * shape.headDim * 4
    const bytes = width * m,
      attendingBytes = attending < m ? width * attending : 0
    piece.queries = pool.malloc(bytes)
    piece.attendingQueries = attendingBytes ? pool.malloc(attendingBytes) : piece.queries
    const observations: Observation[] = [],
      memories: PromptMemory[] = []
    let release = (): void => {}
    try {
      this.rotateQueries(tensors.q, piece, m, piece.queries)
      if (attendingBytes) this.rotateQueries(tensors.q, piece, attending, piece.attendingQueries)
      this.append(tensors, piece)
      if (basis) release = await restoreLayer(this.shared, basis, this.index, this.heads)
      for (let h = 0; h < this.heads.length; h++) {
        const { observation, memory } = await this.attendHead(h, piece, output.address, tensors.q)
        if (observation) observations.push(observation)
        if (memory) memories.push(memory)
      }
    } catch (error) {
      // Nothing of a failed piece stays: of a prompt in one piece, the caller may try it again.
      this.heads.forEach((head, h) => head.truncate(piece.rowsBefore[h]))
      throw error
    } finally {
      release()
      pool.free(piece.queries, bytes)
      if (attendingBytes) pool.free(piece.attendingQueries, attendingBytes)
    }
    this.prompt = plans || !more ? undefined : memories
    const inPrompt = this.promptTokens
    this.promptTokens = more ? inPrompt + n : 0
    this.seen += n
    if (reading && !more) this.endReading(reading)
    if (!plans) return
    if (!more) record?.(this.index, observations)
    if (needs.reconstruction && !decode) planner.wait(this.index, observations, inPrompt + n)
    else await planner.plan(this.index, decode ? 'decode' : 'prefill', observations, this.seen)
  }

  /** Drops what a second reading added. */
  endReading(reading: SecondReading): void {
    this.heads.forEach((head, h) => head.truncate(reading.rows[this.index][h]))
    this.seen = reading.seen
    this.promptTokens = 0
    this.prompt = undefined
  }

  /** Starts as if this layer had read the prompt that `source` read, which holds all of it unpacked. */
  async replay(source: Layer, observations: readonly Observation[]): Promise<void> {
    const { kernels, planner, shape } = this.shared
    const n = source.seen
    const width = shape.headDim * 4
    this.heads.forEach((head, h) => {
      const other = source.heads[h]
      const copyFrom =
        (list: PageList): WriteRows =>
        (first, rows, address) => {
          for (const page of list.span(first, rows)) {
            kernels.heap.u8.copyWithin(address, page.address, page.address + page.rows * width)
            address += page.rows * width
          }
        }
      head.appendRows(n, copyFrom(other.arrivals.keys), copyFrom(other.arrivals.values))
      head.columns.append(n)
      for (const name of ['position', 'retaining', 'reconstruction'])
        if (head.columns.has(name)) head.columns.get(name).set(other.columns.get(name))
    })
    this.seen = n
    await planner.plan(this.index, 'prefill', [...observations], n)
  }

  private async attendHead(
    h: number,
    piece: Piece,
    output: number,
    unrotated: number,
  ): Promise<{ observation?: Observation; memory?: PromptMemory }> {
    const { shape, kernels, pool, needs, observer, reading } = this.shared
    const { headDim } = shape
    const { n, m, attending, decode, plans } = piece
    const head = this.heads[h]
    const group = shape.queryHeads / shape.kvHeads
    const all: Queries = { address: piece.queries + h * group * m * headDim * 4, group, count: m, headDim }
    const queries: Queries = { ...all, address: piece.attendingQueries + h * group * attending * headDim * 4, count: attending }
    const base = decode ? -1 : piece.rowsBefore[h] + n - attending
    const bias = this.uploadBias(head)
    const observeStep = decode && needs.stepAttention
    const stateBytes = softmaxStateBytes(queries),
      logitBytes = observeStep ? group * head.rows * 4 : 0
    const state = pool.malloc(stateBytes),
      logits = observeStep ? pool.malloc(logitBytes) : 0
    try {
      const attended: Attended = { head, queries, state, base, bias }
      kernels.begin(state, queries)
      if (decode) {
        const wait = head.visit(-1, bias, ({ rows, start }) =>
          kernels.attend(state, queries, rows, observeStep ? { address: logits + start * 4, stride: head.rows } : undefined),
        )
        if (wait) await wait
      } else if (attending > 0) {
        const blocks = prefillBlocks(this.shared, head, this.index, h, queries, base)
        try {
          await head.visit(base, bias, ({ rows, causal }) => kernels.prefill(state, queries, rows, causal, blocks))
        } finally {
          blocks?.free()
        }
      }
      this.finish(h, piece, attended, output)
      if (decode) return { observation: observeStep ? observer.step(head, queries, state, logits) : { moment: 'decode', group } }
      if (reading) {
        await reading.observe(this.shared, this.index, h, attended, piece.rowsBefore[h])
        return {}
      }
      const memory = await observer.chunk(m === n ? this.prompt?.[h] : undefined, all, attended)
      if (needs.queryMoments !== undefined) this.addMoments(memory, needs.queryMoments, h, piece, unrotated)
      const observation = plans ? await observer.prompt(memory, head, group, headDim, bias, piece.more) : undefined
      return { memory, observation }
    } finally {
      pool.free(state, stateBytes)
      if (logits) pool.free(logits, logitBytes)
      if (bias) pool.free(bias, head.rows * 4)
    }
  }

  /** Writes a head's outputs to their place in the call's. */
  private finish(h: number, { outputs, outputFrom, ofOutputs }: Piece, { queries, state }: Attended, output: number): void {
    if (outputs === 0) return
    const { kernels, pool } = this.shared
    const { group, headDim, count } = queries
    const width = headDim * 4
    const into = output + (h * group * ofOutputs + outputFrom) * width
    if (outputs === ofOutputs && outputs === count) return kernels.finish(state, queries, into)
    const bytes = group * count * width
    const scratch = pool.malloc(bytes)
    kernels.finish(state, queries, scratch)
    for (let g = 0; g < group; g++) {
      const end = scratch + (g + 1) * count * width
      kernels.heap.u8.copyWithin(into + g * ofOutputs * width, end - outputs * width, end)
    }
    pool.free(scratch, bytes)
  }

  private addMoments(memory: PromptMemory, skip: number, h: number, { n, m, ofQueries, queryFrom }: Piece, unrotated: number): void {
    const { shape, observer } = this.shared
    const { headDim } = shape
    const group = shape.queryHeads / shape.kvHeads
    const skipped = Math.min(m, Math.max(0, skip - (this.seen + n - m)))
    const first = unrotated + (h * group * ofQueries + queryFrom + skipped) * headDim * 4
    memory.moments = observer.addMoments(memory.moments, first, group, ofQueries, m - skipped, headDim)
  }

  /** A head's logit bias in the heap, 0 if no method keeps one. */
  private uploadBias(head: Head): number {
    if (!head.columns.has('bias')) return 0
    const { pool, kernels } = this.shared
    const address = pool.malloc(head.rows * 4)
    kernels.heap.f32.set(head.columns.get('bias'), address >> 2)
    return address
  }

  /** The next token's position for a head that holds `rowsBefore` rows: the tokens seen count, or those that are held. */
  private nextPosition(rowsBefore: number): number {
    return this.shared.policy.select.contiguous ? rowsBefore : this.seen
  }

  /** Rotates the last `count` queries of a piece. */
  private rotateQueries(q: number, { n, m, ofQueries, queryFrom, rowsBefore }: Piece, count: number, queries: number): void {
    const { shape, kernels, rotary } = this.shared
    const { headDim } = shape
    const bytes = count * headDim * 4
    const group = shape.queryHeads / shape.kvHeads
    for (let h = 0; h < shape.queryHeads && count > 0; h++) {
      const from = q + (h * ofQueries + queryFrom + m - count) * headDim * 4,
        into = queries + h * bytes
      if (!rotary) {
        kernels.heap.u8.copyWithin(into, from, from + bytes)
        continue
      }
      const { cos, sin } = rotary.tables(this.nextPosition(rowsBefore[Math.floor(h / group)]), n)
      // The queries are those of the last tokens.
      const skipped = (n - count) * (headDim / 2) * 4
      kernels.rope(from, into, count, headDim, cos + skipped, sin + skipped)
    }
  }

  /** Appends rotated keys, values, positions and what else comes with the tokens to every head. */
  private append({ k, v, retaining }: Tensors, { from: firstToken, n, ofTokens, rowsBefore }: Piece): void {
    const { shape, kernels, rotary } = this.shared
    const { headDim } = shape
    const half = headDim / 2
    const width = headDim * 4
    this.heads.forEach((head, h) => {
      const offset = (h * ofTokens + firstToken) * width
      const keys = k + offset,
        values = v + offset
      const position = this.nextPosition(rowsBefore[h])
      head.appendRows(
        n,
        (first, rows, address) => {
          const from = keys + first * width
          if (!rotary) kernels.heap.u8.copyWithin(address, from, from + rows * width)
          else {
            const { cos, sin } = rotary.tables(position, n)
            kernels.rope(from, address, rows, headDim, cos + first * half * 4, sin + first * half * 4)
          }
        },
        (first, rows, address) => kernels.heap.u8.copyWithin(address, values + first * width, values + (first + rows) * width),
      )
      head.columns.append(n)
      const positions = head.columns.get('position')
      for (let i = 0; i < n; i++) positions[rowsBefore[h] + i] = position + i
      if (retaining) {
        const at = (retaining >> 2) + h * ofTokens + firstToken
        head.columns.get('retaining').set(kernels.heap.f32.subarray(at, at + n), rowsBefore[h])
      }
    })
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
