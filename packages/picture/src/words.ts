import type { CacheHistory, Fate, RowStorage } from '@kvfold/kv-core/history'
import { FOLDED } from './moment.ts'
import { bitsOf } from './palette.ts'
import type { PictureData } from './picture-data.ts'

/** 1234567 -> 1,234,567 */
export function count(n: number): string {
  return n.toLocaleString('en-US')
}

/** 4.48 MB */
export function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`
}

function bits(n: number): string {
  return `${Number(n.toFixed(1))} bits`
}

/** "4.5 bits", "keys 4.5 bits, values 5 bits", "on disk". */
function storageWords({ keys, values }: RowStorage): string {
  const parts = [keys, values].map(({ bits: n, tier }) => bits(n) + (tier ? ` on ${tier}` : ''))
  return parts[0] === parts[1] ? parts[0] : `keys ${parts[0]}, values ${parts[1]}`
}

/** What a state means; `folded`: the words for that. */
export function stateWords({ storage }: CacheHistory, state: number, folded: string): string {
  if (state === FOLDED) return folded
  return state === 0 ? 'dropped' : storageWords(storage[state - 1])
}

/** What became of a token in a head. */
export function fateWords(fate: Fate, pieces: readonly string[]): string {
  if (fate.kind === 'unseen') return 'not read yet'
  if (fate.kind === 'dropped') return 'dropped'
  if (fate.kind === 'folded') return `folded into ${quoted(pieces[fate.into])} (token ${fate.into})`
  return `${bitsOf(fate.storage) < 32 ? 'packed to' : 'kept in'} ${storageWords(fate.storage)}`
}

/** A token's text, so that white space can be seen. */
export function quoted(piece: string | undefined): string {
  return piece === undefined ? '?' : `“${piece.replaceAll('\n', '↵')}”`
}

/** What happened between a frame and the one before. */
export function frameWords({ history, pieces, documentTokens }: PictureData, frame: number): string {
  const { tokens } = history.frames[frame]
  if (frame === 0) return tokens === (documentTokens ?? tokens) ? 'the document is read' : 'the prompt is read'
  const added = tokens - history.frames[frame - 1].tokens
  if (added === 1) return `step ${stepOf(history, frame)}: ${quoted(pieces[tokens - 1])}`
  return added === 0 ? 'nothing more is read' : `${count(added)} more tokens are read`
}

function stepOf({ frames }: CacheHistory, frame: number): number {
  let steps = 0
  for (let i = 1; i <= frame; i++) if (frames[i].tokens - frames[i - 1].tokens === 1) steps++
  return steps
}
