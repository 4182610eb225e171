/** Codes of fewer than 8 bits as bytes, in the order of channels. Rows' bytes are multiples of 16, and shifts by constants cost a third of others. */

/** Rows of 2 or 4 bits a code to [rows][channels]. */
export function unpackRows(codes: usize, rows: i32, rowBytes: usize, bits: usize, into: usize): void {
  const end = codes + <usize>rows * rowBytes
  const low = codeMask(bits)
  if (bits == 4) {
    for (; codes < end; into += rowBytes) {
      for (const stop = codes + rowBytes; codes < stop; codes += 16, into += 16) {
        const x = v128.load(codes)
        v128.store(into, v128.and(x, low))
        v128.store(into + rowBytes, v128.and(i16x8.shr_u(x, 4), low))
      }
    }
    return
  }
  for (; codes < end; into += 3 * rowBytes) {
    for (const stop = codes + rowBytes; codes < stop; codes += 16, into += 16) {
      const x = v128.load(codes)
      v128.store(into, v128.and(x, low))
      v128.store(into + rowBytes, v128.and(i16x8.shr_u(x, 2), low))
      v128.store(into + 2 * rowBytes, v128.and(i16x8.shr_u(x, 4), low))
      v128.store(into + 3 * rowBytes, v128.and(i16x8.shr_u(x, 6), low))
    }
  }
}

/** Rows of 2, 4 or 8 bits a code to [rows / 2][channels][2]: two rows side by side. A lone last row is paired with itself. */
export function unpackPairs(codes: usize, rows: i32, rowBytes: usize, bits: usize, into: usize): void {
  const plane = rowBytes << 1
  const low = codeMask(bits)
  for (let row = 0; row < rows; row += 2, codes += rowBytes, into += plane * (8 / bits - 1)) {
    const next = row + 1 < rows ? rowBytes : 0
    const stop = codes + rowBytes
    if (bits == 8) for (; codes < stop; codes += 16, into += 32) pair(into, v128.load(codes), v128.load(codes + next))
    else if (bits == 4) {
      for (; codes < stop; codes += 16, into += 32) {
        const x = v128.load(codes)
        const y = v128.load(codes + next)
        pair(into, v128.and(x, low), v128.and(y, low))
        pair(into + plane, v128.and(i16x8.shr_u(x, 4), low), v128.and(i16x8.shr_u(y, 4), low))
      }
    } else {
      for (; codes < stop; codes += 16, into += 32) {
        const x = v128.load(codes)
        const y = v128.load(codes + next)
        pair(into, v128.and(x, low), v128.and(y, low))
        pair(into + plane, v128.and(i16x8.shr_u(x, 2), low), v128.and(i16x8.shr_u(y, 2), low))
        pair(into + 2 * plane, v128.and(i16x8.shr_u(x, 4), low), v128.and(i16x8.shr_u(y, 4), low))
        pair(into + 3 * plane, v128.and(i16x8.shr_u(x, 6), low), v128.and(i16x8.shr_u(y, 6), low))
      }
    }
  }
}

@inline function pair(into: usize, x: v128, y: v128): void {
  v128.store(into, v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23))
  v128.store(into, v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16)
}

/** Rows of 2 or 4 bits a code to [rows / 4][channels][4]: four rows side by side. The last row stands for those after it. */
export function unpackFours(codes: usize, rows: i32, rowBytes: usize, bits: usize, into: usize): void {
  const plane = rowBytes << 2
  const low = codeMask(bits)
  for (let row = 0; row < rows; row += 4, codes += 3 * rowBytes, into += plane * (8 / bits - 1)) {
    const last = rows - 1 - row
    const second = min(1, last) * rowBytes
    const third = min(2, last) * rowBytes
    const fourth = min(3, last) * rowBytes
    for (const stop = codes + rowBytes; codes < stop; codes += 16, into += 64) {
      const x = v128.load(codes)
      const y = v128.load(codes + second)
      const z = v128.load(codes + third)
      const w = v128.load(codes + fourth)
      const a = v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
      const b = v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
      const c = v128.shuffle<i8>(z, w, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
      const d = v128.shuffle<i8>(z, w, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
      part(into, v128.shuffle<i16>(a, c, 0, 8, 1, 9, 2, 10, 3, 11), plane, bits, low)
      part(into + 16, v128.shuffle<i16>(a, c, 4, 12, 5, 13, 6, 14, 7, 15), plane, bits, low)
      part(into + 32, v128.shuffle<i16>(b, d, 0, 8, 1, 9, 2, 10, 3, 11), plane, bits, low)
      part(into + 48, v128.shuffle<i16>(b, d, 4, 12, 5, 13, 6, 14, 7, 15), plane, bits, low)
    }
  }
}

/** The codes of sixteen bytes, from the lowest bits on, `plane` bytes apart. */
@inline function part(into: usize, x: v128, plane: usize, bits: usize, low: v128): void {
  if (bits == 4) {
    v128.store(into, v128.and(x, low))
    v128.store(into + plane, v128.and(i16x8.shr_u(x, 4), low))
    return
  }
  v128.store(into, v128.and(x, low))
  v128.store(into + plane, v128.and(i16x8.shr_u(x, 2), low))
  v128.store(into + 2 * plane, v128.and(i16x8.shr_u(x, 4), low))
  v128.store(into + 3 * plane, v128.and(i16x8.shr_u(x, 6), low))
}

/** The bits of a code in each byte. Made of an argument, since V8 makes a constant anew wherever it is used. */
@inline function codeMask(bits: usize): v128 {
  const mask = (1 << <i32>bits) - 1
  return i8x16.splat(<i8>mask)
}
