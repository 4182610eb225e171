import { exp1, exponentials } from './exp'
import { madd, maxLanes } from './simd'

/**
 * Dot products to logits, in place: x * scale + addend, and -Infinity from column `visible` on and in the groups of 16 columns whose
 * bit in `mask` is 0. `columns` is a multiple of four. Returns the largest.
 */
@inline export function finishLogits(row: usize, columns: i32, visible: i32, mask: i32, scale: f32, addends: usize): f32 {
  const hidden = f32x4.splat(-Infinity)
  let top = hidden
  if (visible >= columns && mask == 15) {
    for (const end = row + (<usize>columns << 2); row < end; row += 16, addends += 16) {
      const x = madd(v128.load(addends), v128.load(row), f32x4.splat(scale))
      v128.store(row, x)
      top = f32x4.pmax(top, x)
    }
    return maxLanes(top)
  }
  for (let j = 0; j < columns; j += 4, row += 16, addends += 16) {
    let x = madd(v128.load(addends), v128.load(row), f32x4.splat(scale))
    if (j + 4 > visible) x = v128.bitselect(x, hidden, i32x4.lt_s(i32x4.add(i32x4.splat(j), i32x4(0, 1, 2, 3)), i32x4.splat(visible)))
    if ((mask >> (j >> 4) & 1) == 0) x = hidden
    v128.store(row, x)
    top = f32x4.pmax(top, x)
  }
  return maxLanes(top)
}

/**
 * Continues one query's running softmax: logits become weights, in place; `max` and `sum` (addresses) are updated. Returns what the
 * output so far is to be multiplied by. NaN is not the largest of anything, but its weight is NaN, and so is all that follows.
 */
@inline export function weigh(row: usize, columns: i32, largest: f32, max: usize, sum: usize): f32 {
  const before = load<f32>(max)
  const now = before > largest ? before : largest
  // Where nothing was visible yet, -Infinity - -Infinity must not make a NaN.
  const base: f32 = now == -Infinity ? 0 : now
  const total = exponentials(row, columns, base)
  const factor = exp1(before - base)
  store<f32>(max, now)
  store<f32>(sum, load<f32>(sum) * factor + total)
  return factor
}

/** True if one of the logits is NaN, which no comparison of the largest shows. */
export function anyNaN(row: usize, columns: i32): bool {
  let found = i32x4.splat(0)
  for (const end = row + (<usize>columns << 2); row < end; row += 16) {
    const x = v128.load(row)
    found = v128.or(found, f32x4.ne(x, x))
  }
  return v128.any_true(found)
}
