import { loadHalves, storeHalves } from './half'

/** Each channel's sqrt(max |x|) over some rows, 1 where that would be 0: as halves, and as the floats that these stand for. */
export function channelFactors(from: usize, rows: i32, headDim: usize, halves: usize, into: usize): void {
  const rowBytes = headDim << 2
  for (let c: usize = 0; c < rowBytes; c += 16, halves += 8) {
    let most = f32x4.splat(0)
    for (let x = from + c, end = x + <usize>rows * rowBytes; x < end; x += rowBytes) most = f32x4.pmax(most, f32x4.abs(v128.load(x)))
    storeHalves(halves, f32x4.sqrt(most))
    const root = loadHalves(halves)
    const factor = v128.bitselect(f32x4.splat(1), root, f32x4.eq(root, f32x4.splat(0)))
    storeHalves(halves, factor)
    v128.store(into + c, factor)
  }
}

/** into = x / factors, `headDim` numbers. */
export function divideRow(x: usize, factors: usize, headDim: usize, into: usize): void {
  for (let c: usize = 0; c < headDim << 2; c += 16) v128.store(into + c, f32x4.div(v128.load(x + c), v128.load(factors + c)))
}

/** Rows `[rows][headDim]` times halves, one for each channel, in place. */
export function multiplyRows(x: usize, rows: i32, headDim: usize, halves: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let c: usize = 0; c < headDim; c += 4, x += 16) v128.store(x, f32x4.mul(v128.load(x), loadHalves(halves + (c << 1))))
  }
}
