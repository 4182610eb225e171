/**
 * Whole rows for each layer, from real-valued shares that sum up to `total`: cut off fractions, cap at `most`, hand what exceeded
 * the cap to the layers below it, then even out the rest (from layers above 1, if there is too much). One pass, lowest layers first
 * for remainders, exactly as the official `adjust_budgets`; so a result may pass `most`.
 */
export function adjustBudgets(shares: readonly number[], total: number, most: number): number[] {
  const budgets = shares.map(Math.trunc)
  const excess = budgets.reduce((sum, rows) => sum + Math.max(0, rows - most), 0)
  for (let i = 0; i < budgets.length; i++) budgets[i] = Math.min(budgets[i], most)
  spread(budgets, excess, (rows) => rows < most)
  const missing = total - budgets.reduce((sum, rows) => sum + rows, 0)
  if (missing > 0) spread(budgets, missing, (rows) => rows < most)
  else spread(budgets, missing, (rows) => rows > 1)
  return budgets
}

/** Adds `amount` in equal parts to the layers that `takes` admits; the first ones take one more each of what is left over. */
function spread(budgets: number[], amount: number, takes: (rows: number) => boolean): void {
  const takers = budgets.flatMap((rows, i) => (takes(rows) ? [i] : []))
  if (takers.length === 0) return
  const each = Math.floor(Math.abs(amount) / takers.length)
  const over = Math.abs(amount) % takers.length
  takers.forEach((layer, at) => (budgets[layer] += Math.sign(amount) * (each + (at < over ? 1 : 0))))
}
