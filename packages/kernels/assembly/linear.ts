import { decodePanel } from './decode-panel'
import { linearBrain } from './linear-brain'
import { linearBytes } from './linear-bytes'
import { linearHalves } from './linear-halves'
import { linearNibbles } from './linear-nibbles'
import { multiplyPanel } from './matmul'
import { RAISE, roundBlocks, scaleRow } from './round-blocks'

/** Rows that are multiplied one by one; for more, panels of weights are decoded. */
const FEW: i32 = 4
/** Rows of x that stay in the second cache while all panels pass: decoding a panel then costs little beside its products. */
const ROWS: i32 = 256

/**
 * into [rows][outputs] += x [rows][inputs] w; rows of `into` lie `stride` floats apart. `kind`: 8 or 4 bits, with a scale for each 32 inputs of an output, and for 4 a minimum; 16 for halves,
 * 17 for upper halves of float32.
 * With `gain` [inputs] (or 0), x is multiplied by it first. `scratch`: 4 * inputs bytes for FEW rows, 32 * inputs for more.
 */
export function linear(
  x: usize, rows: i32, inputs: i32, kind: i32, codes: usize, scales: usize, minima: usize, outputs: i32, into: usize, stride: usize, gain: usize, scratch: usize,
): void {
  const rowBytes = <usize>inputs << 2
  const intoBytes = stride << 2
  if (rows <= FEW) {
    const blocks = inputs >> 5
    const units = scratch + (<usize>inputs << 1)
    const sums = units + (<usize>blocks << 2)
    for (let row = 0; row < rows; row++, x += rowBytes, into += intoBytes) {
      if (kind > 8) {
        scaleRow(x, gain, inputs, kind == 16 ? RAISE : 1, scratch)
        if (kind == 16) linearHalves(scratch, inputs, codes, outputs, into)
        else linearBrain(scratch, inputs, codes, outputs, into)
        continue
      }
      roundBlocks(x, gain, inputs, scratch, units, sums)
      if (kind == 8) linearBytes(scratch, units, blocks, codes, scales, outputs, into)
      else linearNibbles(scratch, units, sums, blocks, codes, scales, minima, outputs, into, kind)
    }
    return
  }
  const panelBytes = <usize>(inputs * min(kind, 16))
  const panelScales = <usize>inputs >> 1
  for (let first = 0; first < rows; first += ROWS, x += rowBytes * ROWS, into += intoBytes * ROWS) {
    const count = min(ROWS, rows - first)
    for (let panel: usize = 0; panel < <usize>outputs >> 3; panel++) {
      const at = panel * panelScales
      decodePanel(kind, codes + panel * panelBytes, scales + at, minima + at, gain, inputs, scratch)
      multiplyPanel(x, count, inputs, scratch, 32, into + (panel << 5), intoBytes)
    }
  }
}
