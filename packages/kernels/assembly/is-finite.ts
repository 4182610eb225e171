/** True if no number is NaN or infinite: no exponent of all ones. */
export function allFinite(address: usize, count: usize): bool {
  const ones = i32x4.splat(0x7f800000)
  let found = i32x4.splat(0)
  const end = address + (count << 2)
  for (; address + 16 <= end; address += 16) found = v128.or(found, i32x4.eq(v128.and(v128.load(address), ones), ones))
  if (v128.any_true(found)) return false
  for (; address < end; address += 4) if ((load<u32>(address) & 0x7f800000) == 0x7f800000) return false
  return true
}
