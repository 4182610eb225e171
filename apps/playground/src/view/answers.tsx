import type { JSX } from 'preact'
import type { Side } from '../engine/engine.ts'
import { answers, firstDifference, sides, status, type AnswerState } from '../run.ts'
import { bytes, count, duration } from './format.ts'

const TITLES: Record<Side, string> = { full: 'Full cache', small: 'Compressed cache' }

/** The two answers, side by side. */
export function Answers(): JSX.Element {
  return (
    <div class="answers">
      <AnswerCard side="full" />
      <AnswerCard side="small" />
    </div>
  )
}

function AnswerCard({ side }: { side: Side }): JSX.Element {
  const answer = answers[side].value
  const isMissing = !sides.value.includes(side)
  return (
    <section class={`answer ${side}`} aria-labelledby={`${side}-title`}>
      <h2 id={`${side}-title`}>{TITLES[side]}</h2>
      <p class="text" aria-live="polite" aria-busy={status.value === 'working'}>
        {isMissing ? <span class="quiet">A file holds the compressed cache only.</span> : <Tokens side={side} answer={answer} />}
      </p>
      <progress class={answer.read > 0 && answer.read < 1 ? '' : 'over'} aria-label={`${TITLES[side]}: read`} value={answer.read} max={1} />
      <Numbers answer={answer} />
    </section>
  )
}

/** Tokens that the other answer has too look plain; from the first that differs on they are marked. */
function Tokens({ side, answer }: { side: Side; answer: AnswerState }): JSX.Element {
  if (answer.tokens.length === 0)
    return <span class="quiet">{answer.read > 0 && answer.read < 1 ? `Reading, ${Math.floor(answer.read * 100)}%` : '—'}</span>
  const other = answers[side === 'full' ? 'small' : 'full'].value
  const isCompared = side === 'small' && other.tokens.length > 0
  const at = isCompared ? (firstDifference(other.tokens, answer.tokens) ?? Infinity) : Infinity
  return (
    <>
      {answer.tokens.map((token, i) => (
        <span key={i} class={!isCompared ? 'token' : i < at ? 'token same' : 'token other'}>
          {token}
        </span>
      ))}
    </>
  )
}

function Numbers({ answer: { stats, tokens, moments, decodeMs } }: { answer: AnswerState }): JSX.Element {
  const perToken = stats?.msPerToken ?? decodeMs / Math.max(1, tokens.length - 1)
  const held = stats?.bytes ?? moments.at(-1)?.bytes
  const rows = stats?.rows ?? moments.at(-1)?.rows
  const facts: [string, string | undefined, string?][] = [
    ['held', held === undefined ? undefined : bytes(held), 'Bytes of the cache: rows or codes, scales, columns, page tables'],
    ['peak', stats && bytes(stats.peakBytes), 'The most that was held at once, working memory included'],
    ['rows', rows === undefined ? undefined : count(rows), 'Kept, over all layers and heads'],
    // The document was read for an earlier question.
    [stats?.reused ? 'read before' : 'prefill', stats && duration(stats.readMs), 'Until the prompt was read'],
    ['tokens/s', perToken > 0 ? (1000 / perToken).toFixed(0) : undefined, 'New tokens per second of this side’s own work'],
  ]
  return (
    <dl>
      {facts.map(([name, value, about]) => (
        <div key={name} title={about}>
          <dt>{name}</dt>
          <dd>{value ?? '·'}</dd>
        </div>
      ))}
    </dl>
  )
}
