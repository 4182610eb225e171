import { fromHalf, loadHalves } from './half'
import { transpose4 } from './transpose'

/** Halves `[rows][perRow]`, the scales of some rows, to float32 `[perRow][64]`. */
export function spread(halves: usize, rows: i32, perRow: usize, into: usize): void {
  let row = 0
  if (perRow == 1) {
    for (; row + 4 <= rows; row += 4, halves += 8) v128.store(into + (<usize>row << 2), loadHalves(halves))
  } else if (perRow == 2) {
    for (; row + 4 <= rows; row += 4, halves += 16) {
      const x = loadHalves(halves)
      const y = loadHalves(halves + 8)
      const at = into + (<usize>row << 2)
      v128.store(at, v128.shuffle<f32>(x, y, 0, 2, 4, 6))
      v128.store(at, v128.shuffle<f32>(x, y, 1, 3, 5, 7), 256)
    }
  } else if ((perRow & 3) == 0) {
    const bytes = perRow << 1
    for (; row + 4 <= rows; row += 4, halves += 3 * bytes) {
      let at = into + (<usize>row << 2)
      for (const stop = halves + bytes; halves < stop; halves += 8, at += 1024) {
        transpose4(loadHalves(halves), loadHalves(halves + bytes), loadHalves(halves + 2 * bytes), loadHalves(halves + 3 * bytes), at)
      }
    }
  }
  for (; row < rows; row++) {
    for (let g: usize = 0; g < perRow; g++, halves += 2) store<f32>(into + (g << 8) + (<usize>row << 2), fromHalf(load<u16>(halves)))
  }
}
