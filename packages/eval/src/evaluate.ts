import { createRandom, type Policy } from '@kvfold/kv-core'
import type { Tokenizer } from '@kvfold/models'
import { EvaluationError } from './errors.ts'
import { mean, recall } from './metrics.ts'
import { Pool } from './pool.ts'
import { PromptWriter, type Prompt } from './prompt-writer.ts'
import { PERPLEXITY, TASK_NAMES, TASKS } from './tasks.ts'
import { TASK_TEXT } from './task-text.ts'
import { follow, record, transcribe, type Comparison, type Runner } from './transcript.ts'

/** Tokens at the end of a text whose perplexity is measured. */
export const PERPLEXITY_TOKENS = 256

export interface EvaluateOptions extends Omit<Runner, 'questionAware'> {
  tokenizer: Tokenizer
  /** Texts in which facts are hidden. */
  documents: readonly string[]
  /** Compared with the full cache, which is always measured, first. */
  policies: readonly Policy[]
  tasks: readonly string[]
  /** Tokens of each prompt, question included. */
  context: number
  samples: number
  seed: number
  /** Default false: the context is compressed before the question is seen. */
  questionAware?: boolean
  onProgress?: (progress: { done: number; total: number; task: string; policy: string }) => void
}

/** One policy on one task. */
export interface EvalRow {
  policy: string
  task: string
  context: number
  questionAware: boolean
  /** Mean share of references in the answer (perplexity: the perplexity). */
  score: number
  /** Samples. */
  n: number
  /** Bytes held after the last token, on average, and what a full cache would take. */
  kvBytes: number
  fullF16Bytes: number
  fullF32Bytes: number
  /** The most that was held at once, working memory included: the largest of the samples. */
  peakBytes: number
  /** Against the full cache, along its answer (or the text): mean KL divergence in nats, share of equal first choices. */
  kld: number
  top1Agreement: number
  /** Of the first task's first prompt, which every policy reads itself, alone. */
  prefillMs: number
  decodeMsPerToken: number
}

interface Sample {
  prompt: Prompt
  maxTokens: number
  /** The text to be followed, for perplexity. */
  text?: number[]
  references: string[]
}

/**
 * Scores policies on generated tasks. Every policy sees the same prompts, which depend on the seed, task and length alone. Each reads the
 * very first one itself, which is timed; the others are read once for all policies that read prompts alike (`RecordedPrompt`). Throws
 * EvaluationError before anything runs.
 */
export async function evaluate(options: EvaluateOptions): Promise<EvalRow[]> {
  const { policies, tasks, samples, questionAware = false, onProgress, context, tokenizer } = options
  check(options)
  const runner: Runner = { ...options, questionAware }
  const writer = new PromptWriter(TASK_TEXT, tokenizer, options.documents)
  const rows: EvalRow[] = []
  const total = tasks.length * samples * (policies.length + 1)
  const prefillMs = new Map<string, number>()
  let done = 0
  for (const task of tasks) {
    const results = new Map<string, Result[]>()
    const finished = (policy: string, sample: Sample, run: Run): void => {
      const list = results.get(policy) ?? []
      if (list.length === 0) results.set(policy, list)
      if (!prefillMs.has(policy)) prefillMs.set(policy, run.prefillMs!)
      list.push({ ...run, score: sample.text ? run.loss : recall(answer(tokenizer, run.tokens), sample.references) })
      onProgress?.({ done: ++done, total, task, policy })
    }
    for (let i = 0; i < samples; i++) {
      const sample = makeSample(writer, task, context, new Pool(TASK_TEXT, createRandom(hash(`${options.seed}/${task}/${context}/${i}`))))
      const recording = done > policies.length && policies.length > 0 ? await record(runner, policies, sample.prompt) : undefined
      try {
        const full = await transcribe(runner, sample.prompt, sample.maxTokens, sample.text, recording)
        finished('full', sample, { ...full, kld: 0, top1Agreement: 1 })
        for (const policy of policies) finished(policy.text, sample, await follow(runner, policy, sample.prompt, full, recording))
      } finally {
        await recording?.prompt.cache.dispose()
      }
    }
    for (const [policy, list] of results) rows.push(row(policy, task, { context, questionAware, prefillMs: prefillMs.get(policy)! }, list))
  }
  return rows
}

type Run = Pick<Comparison, 'tokens' | 'ledger' | 'prefillMs' | 'decodeMsPerToken' | 'kld' | 'top1Agreement' | 'loss'>
type Result = Run & { score: number }

function row(
  policy: string,
  task: string,
  setting: Pick<EvalRow, 'context' | 'questionAware' | 'prefillMs'>,
  list: readonly Result[],
): EvalRow {
  const average = (value: (result: Result) => number): number => mean(list.map(value))
  const score = average((r) => r.score)
  return {
    policy,
    task,
    ...setting,
    score: task === PERPLEXITY ? Math.exp(score) : score,
    n: list.length,
    kvBytes: average((r) => r.ledger.bytes),
    fullF16Bytes: average((r) => r.ledger.fullF16Bytes),
    fullF32Bytes: average((r) => r.ledger.fullF32Bytes),
    peakBytes: Math.max(...list.map((r) => r.ledger.peakBytes)),
    kld: average((r) => r.kld),
    top1Agreement: average((r) => r.top1Agreement),
    decodeMsPerToken: average((r) => r.decodeMsPerToken),
  }
}

function makeSample(writer: PromptWriter, task: string, context: number, pool: Pool): Sample {
  if (task === PERPLEXITY) {
    const tokens = writer.plain(context, pool)
    const cut = context - PERPLEXITY_TOKENS
    return { prompt: { context: tokens.slice(0, cut), question: [] }, maxTokens: 0, text: tokens.slice(cut), references: [] }
  }
  const facts = TASKS[task].make(writer.text, pool)
  const question = facts.questions[pool.below(facts.questions.length)]
  return { prompt: writer.prompt(facts, question, context, pool), maxTokens: facts.maxNewTokens, references: question.references }
}

/** The first line of an answer, without what ends it. */
function answer(tokenizer: Tokenizer, tokens: readonly number[]): string {
  const line = tokenizer.decode(tokens).split('\n')[0].trim()
  return line.endsWith(TASK_TEXT.prompt.answerEnd) ? line.slice(0, -TASK_TEXT.prompt.answerEnd.length) : line
}

function check({ tasks, context, samples, model, documents }: EvaluateOptions): void {
  const unknown = tasks.find((task) => !TASK_NAMES.includes(task))
  if (unknown !== undefined) throw new EvaluationError(`There is no task "${unknown}": use ${TASK_NAMES.join(', ')}.`)
  if (!(Number.isInteger(samples) && samples >= 1))
    throw new EvaluationError(`${samples} samples cannot be drawn: give a whole number of at least 1.`)
  if (!documents.some((document) => document.trim())) throw new EvaluationError('There is no text to hide facts in: give documents.')
  const longest = Math.max(...tasks.map((task) => TASKS[task]?.make(TASK_TEXT, new Pool(TASK_TEXT, createRandom(0))).maxNewTokens ?? 0))
  if (!Number.isInteger(context) || context < 1 || context + longest > model.maxPositions)
    throw new EvaluationError(
      `A context of ${context} tokens does not fit this model, which knows ${model.maxPositions} positions: give at most ${model.maxPositions - longest}.`,
    )
  if (tasks.includes(PERPLEXITY) && context < 2 * PERPLEXITY_TOKENS)
    throw new EvaluationError(
      `Perplexity is measured on the last ${PERPLEXITY_TOKENS} tokens: give a context of at least ${2 * PERPLEXITY_TOKENS}.`,
    )
}

/** A 32-bit hash of a text (FNV-1a), to seed one sample. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}
