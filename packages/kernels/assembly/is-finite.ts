/** True if no number is NaN or infinite: no exponent of all ones. */
export function allFinite(address: usize, count: usize): bool {
  const ones = i32x4.splat(0x7f800000)
  let a = i32x4.splat(0)
  let b = a
  const end = address + (count << 2)
  for (; address + 32 <= end; address += 32) {
    a = v128.or(a, i32x4.eq(v128.and(v128.load(address), ones), ones))
    b = v128.or(b, i32x4.eq(v128.and(v128.load(address, 16), ones), ones))
  }
  if (v128.any_true(v128.or(a, b))) return false
  for (; address < end; address += 4) if ((load<u32>(address) & 0x7f800000) == 0x7f800000) return false
  return true
}
