import type { Kernels } from '@kvfold/kernels'
import { applyPlan, checkPlan } from './apply-plan.ts'
import type { PlannerFacts } from './cache-facts.ts'
import type { Basis, HeadView, LayerStats, Moment, Observation, RowBudget, SequenceMemory } from './axes.ts'
import { PAGE_ROWS, raw32 } from './codecs.ts'
import { makeContiguous } from './contiguous.ts'
import { BudgetError, ReconstructionError } from './errors.ts'
import type { Head } from './head.ts'
import { headView, readAhead } from './head-view.ts'
import type { PagePool } from './page.ts'
import { roundUp, STEP, tableBytes } from './page-list.ts'
import { packInBasis } from './in-basis.ts'
import type { HeadPlan, LayerPlan } from './plan.ts'
import type { Policy } from './policy.ts'
import type { Rotary } from './rotary.ts'
import type { CacheShape } from './shape.ts'
import { protectRecent, protectSinks } from './top-rows.ts'
import type { PlanTrace } from './trace.ts'

/** What a planner works with. */
export interface Workplace {
  shape: CacheShape
  policy: Policy
  pool: PagePool
  kernels: Kernels
  rotary: Rotary | undefined
  basis: Basis | undefined
}

/** Runs a policy over the layers of one sequence: score, budget, select, fold, rotate, pack, place. */
export class Planner {
  /** What a user should know about how the policy ran, each once. */
  readonly notices: string[] = []
  private readonly at: Workplace
  private readonly layers: readonly Head[][]
  private readonly trace: PlanTrace | undefined
  private readonly measures: number[] = []
  /** Rows allowed, [layer][head], as allocated when the last prompt ended. */
  private budgets: number[][] = []
  /** The folder's state, by layer, and the scorer's. */
  private readonly states: Record<string, number>[]
  readonly memory: SequenceMemory
  /** Decode steps since the last prompt, by layer. */
  private readonly steps: number[]
  /** A prompt that is read twice: what was seen of it, by layer, and its length. */
  private seenOnce: Observation[][] = []
  private tokensOnce = 0

  constructor(at: Workplace, layers: readonly Head[][], { trace, from }: { trace?: PlanTrace; from?: Planner }) {
    this.at = at
    this.layers = layers
    this.trace = trace
    this.measures = from ? [...from.measures] : []
    this.budgets = from ? from.budgets.map((heads) => [...heads]) : []
    this.states = Array.from({ length: at.shape.layers }, (_, i) => ({ ...from?.states[i] }))
    this.memory = Object.fromEntries(Object.entries(from?.memory ?? {}).map(([name, value]) => [name, value.slice()]))
    this.steps = from ? [...from.steps] : layers.map(() => 0)
    this.seenOnce = from ? [...from.seenOnce] : []
    this.tokensOnce = from?.tokensOnce ?? 0
  }

  /** After a layer's prompt, a chunk of one, or a decode step: `seen` tokens so far. */
  async plan(layer: number, moment: Moment, observations: Observation[], seen: number): Promise<void> {
    const { policy, shape } = this.at
    if (moment === 'decode') return this.planStep(layer, observations, seen)
    this.steps[layer] = 0
    const scores = await this.score(layer, moment, observations, seen)
    if (layer === 0) this.noticeShortWindow(observations[0], seen)
    if (scores) this.keepScores(layer, scores)
    let done = [layer]
    if (policy.budget && scores) {
      const { when = 'layer' } = policy.budget
      if (when === 'layer') {
        this.budgets[layer] = this.allocate([layer], [scores], seen)[0]
        await this.cut(layer, moment, scores, seen)
      } else {
        const last = layer === shape.layers - 1
        if (when === 'cascade' || last) await this.cutTogether(layer, moment, seen)
        // Rows are packed only when their layer will not be cut again for this prompt.
        done = last && !observations[0].more ? this.layers.map((_, i) => i) : []
      }
    }
    for (const index of done) await this.settle(index, moment, seen)
  }

  private async planStep(layer: number, observations: Observation[], seen: number): Promise<void> {
    const { budget, trigger, encode } = this.at.policy
    const scores = await this.score(layer, 'decode', observations, seen)
    if (scores && encode?.moments?.includes('decode')) this.keepScores(layer, scores)
    const due = ++this.steps[layer] % (trigger?.every ?? 1) === 0
    if (budget && scores && due) await this.cut(layer, 'decode', scores, seen)
    await this.settle(layer, 'decode', seen)
  }

  /** A layer's prompt of `tokens` tokens is to be read twice before the policy plans. */
  wait(layer: number, observations: Observation[], tokens: number): void {
    this.seenOnce[layer] = observations
    this.tokensOnce = tokens
  }

  /** What later steps need, besides `memory`, as a cache file keeps it. */
  facts(): PlannerFacts {
    const { measures, budgets, states, steps, notices } = this
    return {
      measures: steps.map((_, layer) => measures[layer] ?? 0),
      budgets: steps.map((_, layer) => (budgets[layer] ? Array.from(budgets[layer]) : null)),
      states: states.map((state) => ({ ...state })),
      steps: [...steps],
      notices: [...notices],
    }
  }

  /** Goes on from what `facts` said. */
  restore({ measures, budgets, states, steps, notices }: PlannerFacts): void {
    Object.assign(this.measures, measures)
    for (const [layer, rows] of budgets.entries()) if (rows) this.budgets[layer] = rows
    Object.assign(this.states, states)
    Object.assign(this.steps, steps)
    this.notices.push(...notices)
  }

  /** Tokens of a prompt that all layers have read once and that is to be read twice. */
  get waiting(): number {
    for (let layer = 0; layer < this.layers.length; layer++) if (!(layer in this.seenOnce)) return 0
    return this.tokensOnce
  }

  /** Throws ReconstructionError if this layer's prompt waits for its second reading. */
  checkReady(layer: number): void {
    if (layer in this.seenOnce)
      throw new ReconstructionError(
        `${this.at.policy.text} reads a prompt twice before rows leave: call reconstruct, as the model's forward does when it is told how to ask for it.`,
      )
  }

  /** Plans all layers, when the prompt has been read twice. */
  async planWaiting(seen: number): Promise<void> {
    for (const [layer, observations] of this.seenOnce.entries()) await this.plan(layer, 'prefill', observations, seen)
    this.seenOnce = []
    this.tokensOnce = 0
  }

  private noticeShortWindow({ windowAttention }: Observation, seen: number): void {
    const { needs, text } = this.at.policy
    const asked = needs.windowAttention ?? 0
    if (!windowAttention || windowAttention.window >= asked || seen >= asked || this.notices.length > 0) return
    this.notices.push(`${text} looks at the last ${asked} queries of a prompt, and this one had ${seen}: it kept what it could see.`)
  }

  private views(layer: number, seen: number): Promise<HeadView[]> {
    return Promise.all(this.layers[layer].map((head, i) => this.view(layer, i, head, seen)))
  }

  private async view(layer: number, index: number, head: Head, seen: number): Promise<HeadView> {
    const { shape, policy, kernels, pool } = this.at
    return headView({
      head,
      layer,
      index,
      shape,
      seen,
      needs: policy.needs,
      kernels,
      pool,
      memory: this.memory,
      ahead: await readAhead(head, policy.needs),
    })
  }

  private async score(layer: number, moment: Moment, observations: Observation[], seen: number): Promise<Float32Array[] | undefined> {
    const { score, budget, protect } = this.at.policy
    const measures = moment === 'prefill' && budget?.measure
    const due = score && (score.moments ?? ['prefill']).includes(moment)
    if (!measures && !due) return undefined
    const views = await this.views(layer, seen)
    if (measures) this.measures[layer] = budget.measure!(views.map((head, i) => ({ seen: observations[i], head })))
    if (!due) return undefined
    const scores = score.scoreLayer?.(observations, views) ?? views.map((head, i) => score.score(observations[i], head))
    if (protect) scores.forEach((own, i) => protectSinks(protectRecent(own, protect.recent), protect.sinks, views[i].positions))
    return scores
  }

  /** Scores wait in a column for a budget that depends on layers still to come, or for an encoder that stores rows by their score. */
  private keepScores(layer: number, scores: Float32Array[]): void {
    for (const [i, head] of this.layers[layer].entries()) if (head.columns.has('score')) head.columns.get('score').set(scores[i])
  }

  private async cutTogether(upTo: number, moment: Moment, seen: number): Promise<void> {
    const layers = Array.from({ length: upTo + 1 }, (_, i) => i)
    const scores = layers.map((layer) => this.layers[layer].map((head) => head.columns.get('score').slice()))
    const budgets = this.allocate(layers, scores, seen)
    for (const layer of layers) {
      this.budgets[layer] = budgets[layer]
      await this.cut(layer, moment, scores[layer], seen)
    }
  }

  private allocate(layers: number[], scores: Float32Array[][], seen: number): number[][] {
    const budget = this.at.policy.budget!
    const stats: LayerStats[] = layers.map((layer, i) => ({
      layer,
      rows: this.layers[layer].map((head) => head.rows),
      measure: this.measures[layer] ?? 0,
      scores: scores[i],
    }))
    return budget.allocate(stats, this.rowBudget(seen))
  }

  /** The budget's size in rows per layer and head. */
  private rowBudget(seen: number): RowBudget {
    const { layers, kvHeads } = this.at.shape
    const { size } = this.at.policy.budget!
    const rows =
      'tokens' in size ? size.tokens : 'ratio' in size ? Math.max(1, Math.floor(seen * size.ratio)) : this.rowsFor(size.bytes, seen)
    return { rows, layers, kvHeads, seen }
  }

  /** The most rows per head that fit the bytes, packed as the policy packs them, with those that come before the next cut. */
  private rowsFor(bytes: number, seen: number): number {
    const { trigger, score } = this.at.policy
    const spare = score?.moments?.includes('decode') ? (trigger?.every ?? 1) - 1 : 0
    let low = 0,
      high = seen
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.bytesOf(middle + spare) <= bytes) low = middle
      else high = middle - 1
    }
    if (low === 0) throw new BudgetError(`A budget of ${bytes} bytes holds no row: give at least ${this.bytesOf(1 + spare)}.`)
    return low
  }

  /** At most what all heads take with so many rows each. */
  private bytesOf(rows: number): number {
    const known = new Map<Head['classes'], number>()
    return this.layers.flat().reduce((sum, { classes }) => {
      if (!known.has(classes)) known.set(classes, this.headBytes(rows, classes))
      return sum + known.get(classes)!
    }, 0)
  }

  /** At most what a head of so many rows takes: pages are allocated in steps of eight rows, and a cut may leave one more that is not full. */
  private headBytes(rows: number, classes: Head['classes']): number {
    const { headDim } = this.at.shape
    const { encode, columns } = this.at.policy
    let bytes = rows * columns.length * 4
    for (const part of ['keys', 'values'] as const) {
      const codec = encode && classes[0][part]
      const rule = encode?.flush[part] ?? { keep: rows, step: 1 }
      const packed = !codec || rows < rule.keep + rule.step ? 0 : Math.floor((rows - rule.keep) / rule.step) * rule.step
      bytes += raw32.bytes(roundUp(rows - packed) + STEP, headDim)
      let pages = Math.ceil((rows - packed) / PAGE_ROWS) + 1
      if (codec && packed > 0) {
        const page = codec.pageRows(headDim)
        bytes +=
          Math.floor(packed / page) * codec.bytes(page, headDim) +
          (packed % page ? codec.bytes(Math.min(page, roundUp(packed % page)), headDim) : 0)
        pages += Math.ceil(packed / page)
      }
      bytes += tableBytes(pages)
    }
    return bytes
  }

  private async cut(layer: number, moment: Moment, scores: Float32Array[], seen: number): Promise<void> {
    const heads = this.layers[layer]
    const budgets = this.budgets[layer]
    if (!budgets || heads.every((head, i) => head.rows <= budgets[i])) return
    const { shape, policy, kernels, pool, rotary } = this.at
    const { select, fold } = policy
    if (fold || select.contiguous) for (const head of heads) for (const list of head.lists) await list.bringHome(() => true)
    const views = await this.views(layer, seen)
    const plans = this.select(scores, budgets, views)
    if (fold) {
      const leaving = plans.map(({ keep }, i) => ({ kept: keep, left: complement(keep, views[i].rows), head: views[i] }))
      fold.fold(leaving, this.states[layer]).forEach((foldPlan, i) => {
        plans[i].fold = foldPlan
      })
    }
    plans.forEach((plan, i) => checkPlan(plan, views[i].rows, budgets[i], `layer ${layer}, head ${i}`))
    const plan: LayerPlan = { layer, when: moment, heads: plans }
    this.trace?.plans.push({
      ...plan,
      seen,
      scores: scores.map((own) => own.slice()),
      positions: views.map((view) => view.positions.slice()),
    })
    for (let i = 0; i < heads.length; i++) {
      await applyPlan(heads[i], plans[i], shape.headDim)
      if (select.contiguous) makeContiguous(heads[i], shape.headDim, kernels, pool, rotary!)
    }
  }

  private select(scores: Float32Array[], budgets: number[], views: HeadView[]): HeadPlan[] {
    const { select } = this.at.policy
    const together = select.selectLayer?.(scores, budgets, views)
    return views.map((view, i) => ({
      keep: view.rows <= budgets[i] ? allRows(view.rows) : (together?.[i] ?? select.select(scores[i], budgets[i], view)),
    }))
  }

  /** Packs and places what stays. */
  private async settle(layer: number, moment: Moment, seen: number): Promise<void> {
    const { policy, basis } = this.at
    const { encode, place } = policy
    const heads = this.layers[layer]
    for (const [index, head] of heads.entries()) {
      if (encode) {
        const { assign, moments = ['prefill'] } = encode
        if (assign && moments.includes(moment)) {
          const view = await this.view(layer, index, head, seen)
          const scores = head.columns.has('score') ? head.columns.get('score') : undefined
          await head.assign(assign(allRows(head.rows), scores, view, moment), moments.includes('decode'))
        }
        if (!basis) head.pack(encode)
      }
    }
    if (encode && basis) {
      packInBasis(this.at, basis, layer, heads, encode)
      if (layer === this.layers.length - 1) basis.end()
    }
    if (place) for (const [index, head] of heads.entries()) await this.place(layer, index, head)
  }

  private async place(layer: number, index: number, head: Head): Promise<void> {
    const { pool, policy, shape } = this.at
    const place = policy.place!
    let after = head.rows
    for (const segment of head.segments) {
      after -= segment.keys.rows
      for (const part of ['keys', 'values'] as const) {
        let newer = segment[part].rows
        for (const page of segment[part].pages) {
          newer -= page.rows
          if (!page.address || page.rows < page.codec.pageRows(shape.headDim)) continue
          const view = { layer, head: index, part, rows: page.rows, bytes: page.bytes, newer: after + newer }
          if (!place.leaves(view)) continue
          pool.use(() => place.open())
          await pool.leave(page)
        }
      }
    }
  }
}

function allRows(rows: number): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, i) => i)
}

function complement(keep: Uint32Array, rows: number): Uint32Array {
  const left = new Uint32Array(rows - keep.length)
  for (let row = 0, at = 0, out = 0; row < rows; row++) {
    if (at < keep.length && keep[at] === row) at++
    else left[out++] = row
  }
  return left
}
