import { exp4 } from './exp'
import { sumLanes } from './simd'

/** into [rows][width] = x / sqrt(mean of squares + epsilon), row by row; `width` is a multiple of 4. May be x itself. */
export function rmsNorm(x: usize, rows: i32, width: i32, epsilon: f32, into: usize): void {
  const bytes = (<usize>width) << 2
  for (let row = 0; row < rows; row++, x += bytes, into += bytes) {
    let sum = f32x4.splat(0)
    for (let i: usize = 0; i < bytes; i += 16) {
      const v = v128.load(x + i)
      sum = f32x4.add(sum, f32x4.mul(v, v))
    }
    const factor = f32x4.splat(1 / sqrt<f32>(sumLanes(sum) / <f32>width + epsilon))
    for (let i: usize = 0; i < bytes; i += 16) v128.store(into + i, f32x4.mul(v128.load(x + i), factor))
  }
}

/** gate = gate / (1 + e^-gate) * up, in place; `count` is a multiple of 4. */
export function swiglu(gate: usize, up: usize, count: i32): void {
  const end = gate + ((<usize>count) << 2)
  const one = f32x4.splat(1)
  for (; gate < end; gate += 16, up += 16) {
    const x = v128.load(gate)
    // e^-|x| never overflows; for negative x, 1 / (1 + e^-x) = e^x / (1 + e^x).
    const e = exp4(f32x4.neg(f32x4.abs(x)))
    const positive = f32x4.div(x, f32x4.add(one, e))
    const y = v128.bitselect(f32x4.mul(positive, e), positive, f32x4.lt(x, f32x4.splat(0)))
    v128.store(gate, f32x4.mul(y, v128.load(up)))
  }
}
