import { roundShort } from './round-short'
import { madd, magic, maxLanes, round8 } from './simd'
import { putUnit, unitsOf } from './units'

/** Bytes of `group` rounded channels, and what belongs to them. */
@inline export function roundedBytes(group: usize): usize {
  return (group << 1) + 16
}

/**
 * Queries `[count][headDim]` times factors of channels (or where `factors` is 0, as they are), to `[headDim / group][count]`: `group` channels in 16 bits of their
 * largest, then what a unit is worth, then their sum.
 */
export function roundQueries(queries: usize, count: i32, headDim: usize, group: usize, factors: usize, into: usize): void {
  for (let from: usize = 0; from < headDim; from += group) {
    for (let i: usize = 0; i < <usize>count; i++, into += roundedBytes(group)) {
      roundQuery(queries + (i * headDim + from << 2), group, factors ? factors + (from << 2) : 0, into)
    }
  }
}

/** The same in 8 bits, as roundShort leaves them. `factors` are needed: 1, where there are none. */
export function roundQueriesShort(queries: usize, count: i32, headDim: usize, group: usize, factors: usize, top: i32, into: usize): void {
  for (let from: usize = 0; from < headDim; from += group) {
    for (let i: usize = 0; i < <usize>count; i++, into += roundedBytes(group)) {
      roundShort(queries + (i * headDim + from << 2), group, factors + (from << 2), factors + (from << 2), top, into)
    }
  }
}

function roundQuery(query: usize, count: usize, factors: usize, into: usize): void {
  const shift = magic
  let largest = f32x4.splat(0)
  let sum = largest
  for (let at: usize = 0; at < count << 2; at += 16) {
    const q = multiplied(query, factors, at)
    largest = f32x4.pmax(largest, f32x4.abs(q))
    sum = f32x4.add(sum, q)
  }
  const top = maxLanes(largest)
  const units = unitsOf(top)
  for (let at: usize = 0; at < count << 2; at += 32) {
    v128.store(into + (at >> 1), round8(f32x4.mul(multiplied(query, factors, at), units), f32x4.mul(multiplied(query, factors, at + 16), units), shift))
  }
  putUnit(into + (count << 1), top, sum)
}

@inline function multiplied(query: usize, factors: usize, at: usize): v128 {
  return factors ? f32x4.mul(v128.load(query + at), v128.load(factors + at)) : v128.load(query + at)
}
