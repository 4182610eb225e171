/** Float16 by bit tricks; subnormals come out right. Stored halves are finite, so infinities are not looked at. */

/** 2^112: what a half's bits in a float's place lack, since the exponents are counted from elsewhere. */
export const LACK: f32 = 5.192296858534828e33

/** The sign and the bits of a half in a float's place, and LACK, for loops: see magic. */
export let halfMask: v128 = i32x4.splat(0x8fffe000)
export let lack: v128 = f32x4.splat(LACK)

/** The float that a half stands for: its bits in a float's place, times 2^112 to move the exponent's bias. */
@inline export function fromHalf(half: u32): f32 {
  return reinterpret<f32>((half & 0x8000) << 16 | reinterpret<u32>(reinterpret<f32>((half & 0x7fff) << 13) * LACK))
}

/** Four halves from their address, with their bits in a float's place: they are 2^-112 times what they stand for. `mask`: halfMask, which loops keep. */
@inline export function halfBits(address: usize, mask: v128): v128 {
  return v128.and(i32x4.shl(v128.load16x4_s(address), 13), mask)
}

/** The same of halves that are not negative. */
@inline export function positiveHalfBits(address: usize): v128 {
  return i32x4.shl(v128.load16x4_u(address), 13)
}

/** The halves in the upper places of four words, with their bits in a float's place. */
@inline export function upperHalves(address: usize, mask: v128): v128 {
  return v128.and(i32x4.shr_s(v128.load(address), 3), mask)
}

/** Four halves, from their address. */
@inline export function loadHalves(address: usize): v128 {
  return f32x4.mul(halfBits(address, halfMask), lack)
}

/** Rounds to nearest even; too large becomes the largest finite half. */
export function toHalfSaturated(value: f32): u32 {
  const all = reinterpret<u32>(value)
  const sign = all >> 16 & 0x8000
  const magnitude = all & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7bff
  if (magnitude < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000)
  return sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1) >> 13)
}

/** Rounds four finite floats as toHalfSaturated does, to their address. */
@inline export function storeHalves(address: usize, x: v128): void {
  const magnitude = f32x4.pmin(i32x4.splat(0x477fe000), v128.and(x, i32x4.splat(0x7fffffff)))
  const normal = i32x4.shr_u(
    i32x4.add(i32x4.sub(magnitude, i32x4.splat(0x37fff001)), v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1))), 13)
  const small = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000))
  const half = v128.bitselect(small, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)))
  const signed = v128.or(half, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)))
  v128.store64_lane(address, i16x8.narrow_i32x4_u(signed, signed), 0)
}
