import type { Prompt } from '@kvfold/eval'
import type { Policy } from '@kvfold/kv-core'
import type { CacheHistory } from '@kvfold/kv-core/history'
import type { Report } from '@kvfold/picture'
import type { Answer } from './answer.ts'
import type { Loaded } from './load.ts'
import { bytes, duration, times } from './terminal/format.ts'

/** An answer and the history of its cache, as a report for people. */
export function pictureReport(
  { name, tokenizer }: Loaded,
  policy: Policy,
  { context, question }: Prompt,
  { question: asked, questionAware }: { question: string; questionAware?: boolean },
  { text, tokens, promptTokens, prefillMs, decodeMsPerToken, ledger, history }: Answer & { history: CacheHistory },
): Report {
  const away = Object.entries(ledger.tiers).map(([tier, count]) => [`on ${tier}`, bytes(count)] as const)
  return {
    title: `What ${policy.text} kept`,
    question: asked,
    answer: text,
    facts: [
      ['model', name],
      ['compressed', questionAware ? 'after the question was seen' : 'before the question was seen'],
      ['cache', bytes(ledger.bytes)],
      ...away,
      ['full cache, float32', bytes(ledger.fullF32Bytes)],
      ['smaller', times(ledger.fullF32Bytes, ledger.bytes)],
      ['prompt', `${promptTokens} tokens in ${duration(prefillMs)}`],
      ['answer', `${tokens.length} tokens at ${duration(decodeMsPerToken)} each`],
    ],
    history,
    pieces: tokenizer.pieces([...context, ...question, ...tokens]),
    documentTokens: context.length,
  }
}
