import { fateWords, quoted } from '../words.ts'
import type { Place, View } from './view.ts'

/** A token in a head, and what became of it. */
export function placeWords(view: View, { token, head }: Place): string {
  const { history, pieces } = view.data
  const score = history.scores[head]?.[token]
  const known = score === undefined || Number.isNaN(score) ? '' : ` · score ${scoreWords(score)}`
  const { kvHeads } = history
  return `token ${token} ${quoted(pieces[token])} · layer ${Math.floor(head / kvHeads)}, head ${head % kvHeads} · ${fateWords(history.fate(head, token, view.frame), pieces)}${known}`
}

function scoreWords(score: number): string {
  if (score === Infinity) return 'always kept'
  if (score === -Infinity) return 'never kept'
  return score.toPrecision(3)
}
