import type { Budgeter } from '@kvfold/kv-core'

/** A budget for scorers that only say how rows are stored: none leaves, while tokens are generated neither. */
export const keepAll: Budgeter = {
  size: { ratio: 1 },
  allocate: (seen, { kvHeads }) => seen.map(() => Array.from({ length: kvHeads }, () => Number.MAX_SAFE_INTEGER)),
}
