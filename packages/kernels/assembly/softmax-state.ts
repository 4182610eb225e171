import { exp1 } from './exp'
import { madd } from './simd'

/** max = -Infinity, sum = 0, output = 0, for `queries` queries. */
export function begin(state: usize, queries: usize, headDim: usize): void {
  for (let i: usize = 0; i < queries; i++) store<f32>(state + (i << 2), -Infinity)
  memory.fill(state + (queries << 2), 0, queries * (headDim + 1) << 2)
}

/** output / sum; zeros where the sum is 0. */
export function finish(state: usize, queries: usize, headDim: usize, out: usize): void {
  let from = state + (queries << 3)
  for (let i: usize = 0; i < queries; i++) {
    const sum = load<f32>(state + (queries + i << 2))
    const divisor = f32x4.splat(sum == 0 ? 1 : sum)
    for (const end = from + (headDim << 2); from < end; from += 16, out += 16) v128.store(out, f32x4.div(v128.load(from), divisor))
  }
}

/** Continues the softmax of `queries` queries with what another state, `[max][sum][output]` at `from`, saw of other rows. */
export function merge(max: usize, sum: usize, output: usize, from: usize, queries: usize, headDim: usize): void {
  let more = from + (queries << 3)
  for (let i: usize = 0; i < queries << 2; i += 4) {
    const mine = load<f32>(max + i)
    const other = load<f32>(from + i)
    const now = mine > other ? mine : other
    // Where neither saw a row, -Infinity - -Infinity must not make a NaN.
    const base: f32 = now == -Infinity ? 0 : now
    const keep = exp1(mine - base)
    const take = exp1(other - base)
    store<f32>(max + i, now)
    store<f32>(sum + i, load<f32>(sum + i) * keep + load<f32>(from + (queries << 2) + i) * take)
    for (const end = output + (headDim << 2); output < end; output += 16, more += 16) {
      v128.store(output, madd(f32x4.mul(v128.load(output), f32x4.splat(keep)), v128.load(more), f32x4.splat(take)))
    }
  }
}
