import { exp1, exponentials } from './exp'
import { maxLanes } from './simd'

/** One row of logits to its softmax, in place. A row of -Infinity alone gets zeros. */
export function softmax(row: usize, rows: i32): void {
  const end = row + (<usize>rows << 2)
  const wide = row + (<usize>(rows & ~3) << 2)
  let best = f32x4.splat(-Infinity)
  let at = row
  for (; at < wide; at += 16) best = f32x4.pmax(best, v128.load(at))
  let most = maxLanes(best)
  for (; at < end; at += 4) most = max(most, load<f32>(at))
  if (most == -Infinity) return memory.fill(row, 0, <usize>rows << 2)
  let sum = exponentials(row, rows & ~3, most)
  for (at = wide; at < end; at += 4) {
    const weight = exp1(load<f32>(at) - most)
    store<f32>(at, weight)
    sum += weight
  }
  const share: f32 = 1 / sum
  for (at = row; at < wide; at += 16) v128.store(at, f32x4.mul(v128.load(at), f32x4.splat(share)))
  for (; at < end; at += 4) store<f32>(at, load<f32>(at) * share)
}
