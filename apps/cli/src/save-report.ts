import type { Ledger, Policy } from '@kvfold/kv-core'
import pc from 'picocolors'
import type { Fit } from './fit-deadline.ts'
import { bytes, duration, times } from './terminal/format.ts'

/** A cache that was written to a file. */
export interface SavedCache {
  file: string
  policy: Policy
  bytes: number
  coding: string | undefined
  prefillMs: number
  saveMs: number
  ledger: Ledger
  notices: readonly string[]
}

/** Prints what was saved, or that it was better not to: then there is no file. */
export function printSaved(
  saved: SavedCache | undefined,
  { json, ...about }: { json: boolean; model: string; tokens: number; layers: number },
  fit?: Fit,
): void {
  if (json) console.log(JSON.stringify({ ...about, ...(saved ? savedFacts(saved) : { file: null }), ...(fit && fitFacts(fit)) }))
  else console.log(pc.dim([...(fit ? fitLines(fit) : []), ...(saved ? savedLines(saved, about.tokens) : [])].join('\n')))
}

function savedFacts({ file, policy, bytes: size, coding, prefillMs, saveMs, ledger, notices }: SavedCache): object {
  const { fullF16Bytes, fullF32Bytes, rows } = ledger
  return { file, policy: policy.text, coding: coding ?? null, rows, bytes: size, fullF16Bytes, fullF32Bytes, prefillMs, saveMs, notices }
}

function fitFacts({ files, taken, inTime, prefillMs, textSeconds }: Fit): object {
  const levels = files.map(({ level, bytes: size, seconds }) => ({ level, bytes: size, seconds }))
  return { levels, level: taken?.level ?? null, inTime, textSeconds, prefillMs }
}

function savedLines({ file, policy, bytes: size, coding, prefillMs, saveMs, ledger, notices }: SavedCache, tokens: number): string[] {
  const { fullF32Bytes, rows } = ledger
  return [
    `policy   ${policy.text}${coding ? `, coded by ${coding}` : ''}`,
    `file     ${file}, ${bytes(size)}: ${times(fullF32Bytes, size)} smaller than full float32 (${bytes(fullF32Bytes)}), ${rows} rows`,
    `time     ${tokens} tokens read in ${duration(prefillMs)}, written in ${duration(saveMs)}`,
    ...notices.map((notice) => `note     ${notice}`),
  ]
}

function fitLines({ files, taken, inTime, textSeconds }: Fit): string[] {
  const text = `the text and its reading ${duration(textSeconds * 1000)}`
  const why = inTime ? 'the best in time' : 'too late, but sooner than the text'
  return [
    `levels   ${files.map(({ level, bytes: size, seconds }) => `${level}: ${bytes(size)} in ${duration(seconds * 1000)}`).join(', ')}; ${text}`,
    `taken    ${taken ? `level ${taken.level}, ${why}` : 'none: no level is in time, and the text is sooner than any, so send that'}`,
  ]
}
