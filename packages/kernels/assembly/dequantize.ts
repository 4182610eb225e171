import { multiplyRows } from './channel-factors'
import { fromHalf, loadHalves } from './half'
import { codeBits, codeByChannel, codeFactors, codeGroup, factorsOf, HALVES } from './page'

/** Rows `start .. start + rows` of a page, as float32: x = code * scale + minimum, times the channel's factor if there is one; raw rows as they are. */
export function dequantize(page: usize, capacity: usize, code: i32, start: usize, rows: i32, headDim: usize, into: usize): void {
  if (code == 0) {
    memory.copy(into, page + start * headDim * 4, <usize>rows * headDim * 4)
    return
  }
  if (code == HALVES) {
    const end = into + (<usize>rows * headDim << 2)
    for (let from = page + (start * headDim << 1); into < end; into += 16, from += 8) v128.store(into, loadHalves(from))
    return
  }
  const bits = codeBits(code)
  const rowBytes = headDim * bits >> 3
  const scales = page + capacity * rowBytes
  if (codeByChannel(code)) {
    for (let row: usize = 0; row < <usize>rows; row++) {
      const from = page + (start + row) * rowBytes
      for (let channel: usize = 0; channel < headDim; channel += 4) {
        const at = scales + (channel << 1)
        store4(into, from, rowBytes, bits, row * headDim, channel, loadHalves(at), loadHalves(at + (headDim << 1)))
      }
    }
    return
  }
  const group = codeGroup(code)
  const mask: i32 = (1 << <i32>bits) - 1
  const perRow = headDim / group
  for (let row: usize = 0; row < <usize>rows; row++) {
    const from = page + (start + row) * rowBytes
    for (let g: usize = 0; g < perRow; g++) {
      const at = scales + ((start + row) * perRow + g << 1)
      const scale = fromHalf(load<u16>(at))
      const minimum = fromHalf(load<u16>(at + (capacity * perRow << 1)))
      const end = (g + 1) * group
      if ((group & 3) == 0) {
        for (let c = g * group; c < end; c += 4) store4(into, from, rowBytes, bits, row * headDim, c, f32x4.splat(scale), f32x4.splat(minimum))
      } else {
        for (let c = g * group; c < end; c++) {
          const plane = c / rowBytes
          const x = load<u8>(from + c - plane * rowBytes) >> <u8>(plane * bits) & <u8>mask
          store<f32>(into + (row * headDim + c << 2), <f32>x * scale + minimum)
        }
      }
    }
  }
  if (codeFactors(code)) multiplyRows(into, rows, headDim, factorsOf(page, capacity, code, headDim))
}

/** Four channels of one row. A row's bytes are a multiple of four, so they lie in one plane. */
@inline function store4(into: usize, from: usize, rowBytes: usize, bits: usize, first: usize, channel: usize, scale: v128, minimum: v128): void {
  const plane = channel / rowBytes
  const word = load<u32>(from + channel - plane * rowBytes) >> <u32>(plane * bits) & <u32>((1 << <i32>bits) - 1) * 0x01010101
  const codes = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(i32x4.replace_lane(i32x4.splat(0), 0, <i32>word))))
  v128.store(into + (first + channel << 2), f32x4.add(f32x4.mul(codes, scale), minimum))
}
