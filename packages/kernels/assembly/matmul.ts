import { madd } from './simd'

/** Rows of a that stay in the second cache while all columns of b pass. */
const STRIP: i32 = 256
/** From so many rows on, eight columns of b are first laid together: their lines no longer get in each other's way. */
const MANY: i32 = 16

/**
 * into [rows][columns] += a [rows][inner] b [inner][columns]; rows of b and of `into` lie `bStride` and `intoStride` floats apart. Columns are
 * a multiple of 4. `scratch`: inner * 32 bytes.
 */
export function matmul(
  a: usize,
  rows: i32,
  inner: i32,
  b: usize,
  bStride: usize,
  columns: i32,
  into: usize,
  intoStride: usize,
  scratch: usize,
): void {
  const rowBytes = (<usize>inner) << 2,
    bBytes = bStride << 2,
    intoBytes = intoStride << 2
  for (let first = 0; first < rows; first += STRIP, a += rowBytes * STRIP, into += intoBytes * STRIP) {
    const count = min(STRIP, rows - first)
    let from = b,
      to = into,
      column = 0
    for (; column + 8 <= columns; column += 8, from += 32, to += 32) {
      if (count < MANY) multiplyPanel(a, count, inner, from, bBytes, to, intoBytes)
      else {
        layTogether(from, bBytes, inner, scratch)
        multiplyPanel(a, count, inner, scratch, 32, to, intoBytes)
      }
    }
    if (column < columns) for (let row = 0, x = a; row < count; row++, x += rowBytes, to += intoBytes) tile1(x, inner, from, bBytes, to, false)
  }
}

function layTogether(from: usize, bytes: usize, count: i32, into: usize): void {
  const end = into + ((<usize>count) << 5)
  for (; into < end; into += 32, from += bytes) {
    v128.store(into, v128.load(from))
    v128.store(into, v128.load(from, 16), 16)
  }
}

/** into [rows][8] += a [rows][inner] panel [inner][8]; rows of the panel lie `panelBytes` apart, those of `into` `intoBytes`. */
export function multiplyPanel(a: usize, rows: i32, inner: i32, panel: usize, panelBytes: usize, into: usize, intoBytes: usize): void {
  const rowBytes = (<usize>inner) << 2
  let row = 0
  for (; row + 4 <= rows; row += 4, a += rowBytes << 2, into += intoBytes << 2) tile4(a, rowBytes, inner, panel, panelBytes, into, intoBytes)
  for (; row < rows; row++, a += rowBytes, into += intoBytes) tile1(a, inner, panel, panelBytes, into, true)
}

/** Four rows and eight columns, in registers. */
function tile4(a: usize, rowBytes: usize, inner: i32, b: usize, bBytes: usize, into: usize, intoBytes: usize): void {
  const a1 = a + rowBytes,
    a2 = a1 + rowBytes,
    a3 = a2 + rowBytes
  const into1 = into + intoBytes,
    into2 = into1 + intoBytes,
    into3 = into2 + intoBytes
  let s00 = v128.load(into),
    s01 = v128.load(into, 16),
    s10 = v128.load(into1),
    s11 = v128.load(into1, 16),
    s20 = v128.load(into2),
    s21 = v128.load(into2, 16),
    s30 = v128.load(into3),
    s31 = v128.load(into3, 16)
  const end = (<usize>inner) << 2
  for (let i: usize = 0; i < end; i += 4, b += bBytes) {
    const b0 = v128.load(b),
      b1 = v128.load(b, 16)
    let x = v128.load32_splat(a + i)
    s00 = madd(s00, x, b0)
    s01 = madd(s01, x, b1)
    x = v128.load32_splat(a1 + i)
    s10 = madd(s10, x, b0)
    s11 = madd(s11, x, b1)
    x = v128.load32_splat(a2 + i)
    s20 = madd(s20, x, b0)
    s21 = madd(s21, x, b1)
    x = v128.load32_splat(a3 + i)
    s30 = madd(s30, x, b0)
    s31 = madd(s31, x, b1)
  }
  v128.store(into, s00)
  v128.store(into, s01, 16)
  v128.store(into1, s10)
  v128.store(into1, s11, 16)
  v128.store(into2, s20)
  v128.store(into2, s21, 16)
  v128.store(into3, s30)
  v128.store(into3, s31, 16)
}

/** One row; eight columns, or four. */
function tile1(a: usize, inner: i32, b: usize, bBytes: usize, into: usize, both: bool): void {
  let s0 = v128.load(into),
    s1 = both ? v128.load(into, 16) : f32x4.splat(0)
  const end = a + ((<usize>inner) << 2)
  for (; a < end; a += 4, b += bBytes) {
    const x = v128.load32_splat(a)
    s0 = madd(s0, x, v128.load(b))
    if (both) s1 = madd(s1, x, v128.load(b, 16))
  }
  v128.store(into, s0)
  if (both) v128.store(into, s1, 16)
}
