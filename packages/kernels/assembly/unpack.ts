/** Codes of fewer than 8 bits as bytes, in the order of channels. Rows' bytes are multiples of 16, and shifts by constants cost a third of others. */

/** Rows of 2 or 4 bits a code to [rows][channels]. */
export function unpackRows(codes: usize, rows: i32, rowBytes: usize, bits: usize, into: usize): void {
  const end = codes + <usize>rows * rowBytes
  if (bits == 4) {
    const low = i8x16.splat(15)
    for (; codes < end; into += rowBytes) {
      for (const stop = codes + rowBytes; codes < stop; codes += 16, into += 16) {
        const x = v128.load(codes)
        v128.store(into, v128.and(x, low))
        v128.store(into + rowBytes, v128.and(i16x8.shr_u(x, 4), low))
      }
    }
    return
  }
  const low = i8x16.splat(3)
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
  for (let row = 0; row < rows; row += 2, codes += rowBytes, into += plane * (8 / bits - 1)) {
    const next = row + 1 < rows ? rowBytes : 0
    const stop = codes + rowBytes
    if (bits == 8) for (; codes < stop; codes += 16, into += 32) pair(into, v128.load(codes), v128.load(codes + next))
    else if (bits == 4) {
      const low = i8x16.splat(15)
      for (; codes < stop; codes += 16, into += 32) {
        const x = v128.load(codes)
        const y = v128.load(codes + next)
        pair(into, v128.and(x, low), v128.and(y, low))
        pair(into + plane, v128.and(i16x8.shr_u(x, 4), low), v128.and(i16x8.shr_u(y, 4), low))
      }
    } else {
      const low = i8x16.splat(3)
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
