import { exp1, exponentials } from './exp'

/** One row of logits to probabilities, in place. A query that saw nothing (sum 0) gets zeros. */
export function probabilities(row: usize, rows: i32, max: f32, sum: f32): void {
  const share: f32 = sum == 0 ? 0 : 1 / sum
  const base: f32 = sum == 0 ? 0 : max
  exponentials(row, rows & ~3, base)
  let left = rows
  for (; left >= 4; left -= 4, row += 16) v128.store(row, f32x4.mul(v128.load(row), f32x4.splat(share)))
  for (; left > 0; left--, row += 4) store<f32>(row, exp1(load<f32>(row) - base) * share)
}
