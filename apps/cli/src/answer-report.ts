import pc from 'picocolors'
import type { Answer } from './answer.ts'
import { bytes, duration, times } from './terminal/format.ts'

/** An answer as JSON. `took`: what it took before the first token. */
export function answerReport(
  { text, promptTokens, tokens, prefillMs, ttftMs, decodeMsPerToken, ledger, notices }: Answer,
  policy: string,
  questionAware: boolean,
  took: Record<string, number> = { prefillMs },
): object {
  const { bytes: held, peakBytes, fullF16Bytes, fullF32Bytes, rows, tiers } = ledger
  return {
    answer: text,
    promptTokens,
    newTokens: tokens.length,
    ...took,
    ttftMs,
    decodeMsPerToken,
    kv: { bytes: held, peakBytes, fullF16Bytes, fullF32Bytes, rows, tiers },
    policy,
    questionAware,
    notices,
  }
}

/** An answer's cost, for people. `prompt`: what was done with the prompt's tokens, and how long it took. */
export function answerSummary(
  { promptTokens, tokens, prefillMs, decodeMsPerToken, ledger, notices }: Answer,
  policy: string,
  prompt: string = `${promptTokens} prompt tokens in ${duration(prefillMs)}`,
): string {
  const away = Object.entries(ledger.tiers)
    .map(([name, count]) => `, ${bytes(count)} on ${name}`)
    .join('')
  return pc.dim(
    [
      `policy   ${policy}`,
      `cache    ${bytes(ledger.bytes)}${away}: ${times(ledger.fullF32Bytes, ledger.bytes)} smaller than full float32 (${bytes(ledger.fullF32Bytes)}), ${ledger.rows} rows`,
      `time     ${prompt}, ${tokens.length} new ones at ${duration(decodeMsPerToken)} each`,
      ...notices.map((notice) => `note     ${notice}`),
    ].join('\n'),
  )
}
