import type { Axis } from '@kvfold/kv-core'

/** What a policy decides, in the order in which it is easiest to choose. */
export const AXES: Record<Axis, { label: string; question: string; none: string }> = {
  score: { label: 'Score', question: 'How important is each row?', none: 'all rows stay' },
  budget: { label: 'Budget', question: 'How many rows may each layer and head keep?', none: 'no limit' },
  protect: { label: 'Protect', question: 'Which rows stay in any case?', none: 'as the method says' },
  select: { label: 'Select', question: 'Which rows stay, given scores and budget?', none: 'the highest scores' },
  fold: { label: 'Fold', question: 'What becomes of rows that leave?', none: 'they are dropped' },
  encode: { label: 'Encode', question: 'How are rows that stay stored?', none: 'float32' },
  place: { label: 'Place', question: 'On which tier do pages live?', none: 'in memory' },
  attention: { label: 'Attention', question: 'Which rows does a prompt’s query look at?', none: 'all' },
  trigger: { label: 'Trigger', question: 'When do rows leave?', none: 'when a prompt ends' },
}

export const AXIS_NAMES = Object.keys(AXES) as Axis[]
