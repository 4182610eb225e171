import {
  budgetParam,
  defineMethod,
  protectSinks,
  UnsupportedPolicyError,
  type Budgeter,
  type BudgetSize,
  type Folder,
  type FoldPlan,
  type Leaving,
  type Method,
  type RowBudget,
  type Scorer,
} from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  heads: z.ZodDefault<z.ZodString>
  sinks: z.ZodDefault<z.ZodNumber>
  compensation: z.ZodDefault<z.ZodBoolean>
  weighted: z.ZodDefault<z.ZodBoolean>
}> = z.object({
  budget: budgetParam.optional(),
  heads: z
    .string('must be quoted text, such as "3.0 5.1"')
    .regex(/^\s*(\d+\.\d+(\s+|$))*$/, 'must be layers and KV heads, such as "3.0 5.1"')
    .default('')
    .describe('retrieval heads, which keep all rows: layer.head of each, both from 0; default: none'),
  sinks: z.number().int().min(0).default(4).describe('first tokens that always stay'),
  compensation: z.boolean().default(true).describe('one row stands for all that left'),
  weighted: z.boolean().default(true).describe('that row counts as often as rows left; false: once'),
})

/** Rows of others by the paper's rule: a fifth of the tokens, or so many. */
const BUFFER = 4000
const SHARE = 5

/**
 * RazorAttention: Efficient KV Cache Compression Through Retrieval Heads (arXiv 2407.15891). Few heads look far back, and keep every row.
 * The others keep the first `sinks` tokens, the newest rows, and one compensation row for all that left: the mean of their keys (rotated,
 * as they are stored) and of their values, with log(count) added to its logits (column `bias`): exact if all those keys were equal. Looks
 * at no attention. Which heads retrieve is found once per model (`kvfold heads`, by `retrievalHeads`) and said in `heads`.
 *
 * The oldest row that stays besides the sinks becomes the compensation row: rows that leave are folded into it, with the weights count /
 * (count + 1) and 1 / (count + 1) for one at a time, and it never leaves. Once it is packed nothing can be folded into it: then rows that
 * leave are dropped, and it stands for those before.
 *
 * Without a budget, the paper's rule: all rows in retrieval heads, sinks + 1 + max(4000, tokens / 5) in others, as many from then on as
 * when the prompt ended (the paper's buffer grows with the tokens). A `budget` is the mean over all heads: retrieval heads get the
 * prompt's rows and room for an eighth as many more, at least 64; the others share the rest, sinks + 2 rows at least, for which retrieval
 * heads go short. A retrieval head that has no room drops its oldest rows after the sinks, without compensation. A budget too small for
 * sinks, compensation and the newest row keeps the later of these.
 *
 * The budgets go with any scorer: `razorattention(heads="7.1", budget=25%) + snapkv` lets other heads keep what SnapKV chooses.
 *
 * Defaults: no retrieval heads, since they are a model's own; 4 sinks, compensation with its weight (paper). `weighted=false` is what
 * golden-stick deploys (and with a budget that gives others 256 rows, all of it, but for rows that it lets pile up at decode). The
 * incremental mean is not printed in the paper; its definition leaves no other. ALiBi models' rule is not here.
 */
export const razorattention: Method<typeof params> = defineMethod({
  name: 'razorattention',
  axes: ['budget'],
  paper: { title: 'RazorAttention: Efficient KV Cache Compression Through Retrieval Heads', arxiv: '2407.15891', year: 2024 },
  summary: 'Retrieval heads keep all rows; others the first, the newest, and one row for all that left.',
  params,
  create: ({ budget, heads, sinks, compensation, weighted }) => {
    const retrieval = new Set(heads.split(/\s+/).filter(Boolean).map(normalized))
    return {
      ...(budget && { budget: byHead(budget, retrieval, sinks) }),
      fallback: {
        budget: byRule(retrieval, sinks),
        score: newestFirst(sinks, compensation),
        ...(compensation && { fold: intoOne(retrieval, sinks, weighted) }),
      },
    }
  },
})

/** How many rows the compensation row stands for; 0 in all others. */
const COUNT = 'folded'

function normalized(head: string): string {
  return head.split('.').map(Number).join('.')
}

function newestFirst(sinks: number, compensation: boolean): Scorer {
  return {
    needs: {},
    moments: ['prefill', 'decode'],
    ...(compensation && { columns: [{ name: COUNT, initial: 0 }] }),
    score(_seen, head) {
      const counts = compensation ? head.column(COUNT) : undefined
      const last = head.rows - 1
      const scores = Float32Array.from({ length: head.rows }, (_, i) => (i === last || (counts && counts[i] > 0) ? Infinity : i))
      return protectSinks(scores, sinks, head.positions)
    },
  }
}

/** Rows of retrieval heads and of others, given their number in the model. */
type Shares = (total: RowBudget, retrieving: number, others: number) => { retrieving: number; others: number }

function budgeter(size: BudgetSize, retrieval: ReadonlySet<string>, shares: Shares): Budgeter {
  return {
    size,
    allocate(layers, total) {
      for (const name of retrieval) {
        const [layer, head] = name.split('.').map(Number)
        if (layer >= total.layers || head >= total.kvHeads)
          throw new UnsupportedPolicyError(
            `razorattention names the retrieval head ${name}, and this model has ${total.layers} layers of ${total.kvHeads} KV heads, ` +
              'counted from 0: take the heads of this model.',
          )
      }
      const { retrieving, others } = shares(total, retrieval.size, total.layers * total.kvHeads - retrieval.size)
      return layers.map(({ layer }) =>
        Array.from({ length: total.kvHeads }, (_, head) => (retrieval.has(`${layer}.${head}`) ? retrieving : others)),
      )
    },
  }
}

function byRule(retrieval: ReadonlySet<string>, sinks: number): Budgeter {
  return budgeter({ ratio: 1 }, retrieval, ({ seen }) => ({
    retrieving: Infinity,
    others: sinks + 1 + Math.max(BUFFER, Math.floor(seen / SHARE)),
  }))
}

function byHead(size: BudgetSize, retrieval: ReadonlySet<string>, sinks: number): Budgeter {
  return budgeter(size, retrieval, ({ rows, seen }, retrieving, others) => {
    const whole = seen + Math.max(64, Math.floor(seen / 8))
    if (rows >= whole || retrieving === 0 || others === 0) return { retrieving: rows, others: rows }
    const all = rows * (retrieving + others)
    const rest = Math.max(Math.min(rows, sinks + 2), Math.floor((all - retrieving * whole) / others))
    return { retrieving: Math.min(whole, Math.floor((all - others * rest) / retrieving)), others: rest }
  })
}

function intoOne(retrieval: ReadonlySet<string>, sinks: number, weighted: boolean): Folder {
  return {
    columns: [{ name: COUNT, initial: 0 }, ...(weighted ? [{ name: 'bias', initial: 0 }] : [])],
    fold: (heads) =>
      heads.map((leaving) => {
        const { head, left } = leaving
        if (left.length === 0 || retrieval.has(`${head.layer}.${head.head}`)) return undefined
        const carrier = carrierOf(leaving, sinks)
        if (carrier === undefined || !head.foldable(carrier)) return undefined
        const { plan, count } = mean(leaving, carrier)
        head.column(COUNT)[carrier] = count
        if (weighted) head.column('bias')[carrier] = Math.log(count)
        return plan
      }),
  }
}

/** The compensation row among those that stay, or the one that becomes it: the oldest but the sinks, and not the newest. */
function carrierOf({ kept, head }: Leaving, sinks: number): number | undefined {
  const counts = head.column(COUNT)
  return kept.find((row) => counts[row] > 0) ?? kept.find((row) => head.positions[row] >= sinks && row < head.rows - 1)
}

function mean({ left, head }: Leaving, carrier: number): { plan: FoldPlan; count: number } {
  const counts = head.column(COUNT)
  const from = Uint32Array.of(carrier, ...left)
  const own = Float64Array.from(from, (row) => Math.max(1, counts[row]))
  const count = own.reduce((a, b) => a + b, 0)
  const weights = Float32Array.from(own, (n) => n / count)
  return { plan: { from, into: new Uint32Array(from.length).fill(carrier), weights }, count }
}
