import { applyPlan, checkPlan } from './apply-plan.ts'
import type { HeadView, LayerStats, Moment, Observation, RowBudget } from './axes.ts'
import { PAGE_ROWS, raw32 } from './codecs.ts'
import { BudgetError } from './errors.ts'
import type { Head } from './head.ts'
import { headView, readAhead } from './head-view.ts'
import type { PagePool } from './page.ts'
import { roundUp, STEP, tableBytes } from './page-list.ts'
import type { HeadPlan, LayerPlan } from './plan.ts'
import type { Policy } from './policy.ts'
import type { CacheShape } from './shape.ts'
import type { PlanTrace } from './trace.ts'

/** Runs a policy over the layers of one sequence: score, budget, select, fold, pack, place. */
export class Planner {
  private readonly shape: CacheShape
  private readonly policy: Policy
  private readonly pool: PagePool
  private readonly layers: readonly Head[][]
  private readonly trace: PlanTrace | undefined
  private readonly measures: number[] = []
  /** Rows allowed, [layer][head], as allocated when the last prompt ended. */
  private budgets: number[][] = []
  /** What a user should know about how the policy ran, each once. */
  readonly notices: string[] = []
  /** The folder's state, by layer. */
  private states: Record<string, number>[]

  constructor(shape: CacheShape, policy: Policy, pool: PagePool, layers: readonly Head[][], trace?: PlanTrace, from?: Planner) {
    this.shape = shape
    this.policy = policy
    this.pool = pool
    this.layers = layers
    this.trace = trace
    this.measures = from ? [...from.measures] : []
    this.budgets = from ? from.budgets.map((heads) => [...heads]) : []
    this.states = Array.from({ length: shape.layers }, (_, i) => ({ ...from?.states[i] }))
  }

  /** After a layer's prompt or decode step: `seen` tokens so far. */
  async plan(layer: number, moment: Moment, observations: Observation[], seen: number): Promise<void> {
    const { policy, shape } = this
    const scores = await this.score(layer, moment, observations, seen)
    if (moment === 'prefill' && layer === 0) this.noticeShortWindow(observations[0], seen)
    let done = [layer]
    if (scores && moment === 'prefill') this.keepScores(layer, scores)
    if (policy.budget && scores) {
      const { when = 'layer' } = policy.budget
      if (moment === 'decode') await this.cut(layer, moment, scores, seen)
      else if (when === 'layer') {
        this.budgets[layer] = this.allocate([layer], [scores], seen)[0]
        await this.cut(layer, moment, scores, seen)
      } else {
        const last = layer === shape.layers - 1
        if (when === 'cascade' || last) await this.cutTogether(layer, moment, seen)
        // Rows are packed only when their layer will not be cut again for this prompt.
        done = last ? this.layers.map((_, i) => i) : []
      }
    }
    for (const index of done) await this.settle(index, moment, seen)
  }

  private noticeShortWindow({ windowAttention }: Observation, seen: number): void {
    const { needs, text } = this.policy
    if (windowAttention && windowAttention.window < needs.windowAttention! && seen < needs.windowAttention!)
      this.notices.push(
        `${text} looks at the last ${needs.windowAttention} queries of a prompt, and this one had ${seen}: it kept what it could see.`,
      )
  }

  private views(layer: number, seen: number): Promise<HeadView[]> {
    return Promise.all(this.layers[layer].map((head, i) => this.view(layer, i, head, seen)))
  }

  private async view(layer: number, index: number, head: Head, seen: number): Promise<HeadView> {
    const {
      policy: { needs },
      shape: { headDim },
    } = this
    return headView(head, layer, index, headDim, seen, needs, await readAhead(head, needs))
  }

  private async score(layer: number, moment: Moment, observations: Observation[], seen: number): Promise<Float32Array[] | undefined> {
    const { score, budget } = this.policy
    const measures = moment === 'prefill' && budget?.measure
    const scores = score && (score.moments ?? ['prefill']).includes(moment)
    if (!measures && !scores) return undefined
    const views = await this.views(layer, seen)
    if (measures) this.measures[layer] = budget.measure!(views.map((head, i) => ({ seen: observations[i], head })))
    if (!scores) return undefined
    return score.scoreLayer?.(observations, views) ?? views.map((head, i) => score.score(observations[i], head))
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
    const budget = this.policy.budget!
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
    const { layers, kvHeads } = this.shape
    const { size } = this.policy.budget!
    const rows =
      'tokens' in size
        ? size.tokens
        : 'ratio' in size
          ? Math.max(1, Math.floor(seen * size.ratio))
          : this.rowsFor(size.bytes / (layers * kvHeads), seen)
    return { rows, layers, kvHeads, seen }
  }

  /** The most rows of one head that fit the bytes, packed as the policy packs them. */
  private rowsFor(bytes: number, seen: number): number {
    let low = 0,
      high = seen
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.headBytes(middle) <= bytes) low = middle
      else high = middle - 1
    }
    if (low === 0)
      throw new BudgetError(`A budget of ${Math.floor(bytes)} bytes per head holds no row: give at least ${this.headBytes(1)}.`)
    return low
  }

  /** At most what a head of so many rows takes: pages are allocated in steps of eight rows, and a cut may leave one more that is not full. */
  private headBytes(rows: number): number {
    const { headDim } = this.shape
    const { encode, columns } = this.policy
    let bytes = rows * columns.length * 4
    for (const part of ['keys', 'values'] as const) {
      const codec = encode?.classes[0][part]
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
    const { select, fold } = this.policy
    if (fold) for (const head of heads) for (const list of head.lists) await list.bringHome(() => true)
    const views = await this.views(layer, seen)
    const plans: HeadPlan[] = views.map((view, i) => ({
      keep: view.rows <= budgets[i] ? allRows(view.rows) : select.select(scores[i], budgets[i], view),
    }))
    if (fold) {
      const leaving = plans.map(({ keep }, i) => ({ kept: keep, left: complement(keep, views[i].rows), head: views[i] }))
      fold.fold(leaving, this.states[layer]).forEach((foldPlan, i) => {
        plans[i].fold = foldPlan
      })
    }
    plans.forEach((plan, i) => checkPlan(plan, views[i].rows, budgets[i], `layer ${layer}, head ${i}`))
    const plan: LayerPlan = { layer, when: moment, heads: plans }
    this.trace?.record(
      plan,
      views.map((view) => view.positions.slice()),
    )
    for (let i = 0; i < heads.length; i++) await applyPlan(heads[i], plans[i], this.shape.headDim)
  }

  /** Packs and places what stays. */
  private async settle(layer: number, moment: Moment, seen: number): Promise<void> {
    const { encode, place } = this.policy
    for (const [index, head] of this.layers[layer].entries()) {
      if (encode) {
        if (encode.assign && moment === 'prefill') {
          const view = await this.view(layer, index, head, seen)
          await head.assign(encode.assign(allRows(head.rows), head.columns.has('score') ? head.columns.get('score') : undefined, view))
        }
        head.pack(encode)
      }
      if (place) await this.place(layer, index, head)
    }
  }

  private async place(layer: number, index: number, head: Head): Promise<void> {
    const { place } = this.policy
    let after = head.rows
    for (const segment of head.segments) {
      after -= segment.keys.rows
      for (const part of ['keys', 'values'] as const) {
        let newer = segment[part].rows
        for (const page of segment[part].pages) {
          newer -= page.rows
          if (!page.address || page.rows < page.codec.pageRows(this.shape.headDim)) continue
          const view = { layer, head: index, part, rows: page.rows, bytes: page.bytes, newer: after + newer }
          if (!place!.leaves(view)) continue
          this.pool.use(() => place!.open())
          await this.pool.leave(page)
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
