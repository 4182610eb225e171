import { type Codec, createRandom, ShapeError } from '@kvfold/kv-core'
import { putHalf, takeHalf } from './bits.ts'
import { roundGroup } from './round-group.ts'
import { extremes } from './extremes.ts'
import { lowRank } from './low-rank.ts'

export interface GearOptions {
  bits: 2 | 4 | 8
  /** What has scales, and outliers, of its own: a channel of a page's rows, or a token with `group` channels each. */
  axis: 'channel' | 'token'
  group: number
  /** Rows of a page. */
  rows: number
  rank: number
  loops: number
  /** Share of the numbers that are kept as they are, half of them the largest of their channel or token. */
  outliers: number
}

/** Where things lie, in bytes: first in a row, then in what a page's rows share. */
interface Places {
  codes: number
  left: number
  scales: number
  outliers: number
  row: number
  sharedScales: number
  sharedOutliers: number
  shared: number
  /** Outliers of a channel or a token. */
  each: number
}

/**
 * GEAR's sum for one page of one head: codes with a scale per channel or per token and group, plus a product of two thin matrices that
 * comes near what the codes miss, and the outliers, which take their numbers' places. Everything but codes is float16. A row holds its
 * codes and its row of the left matrix; the page holds the right one, and for channels their scales and outliers (a row holds its
 * number for those, since rows may leave). No kernel reads it.
 */
export function gearCodec(options: GearOptions): Codec {
  const { bits, axis, group, rank, loops } = options
  const levels = (1 << bits) - 1
  const places = (headDim: number): Places => placesOf(options, headDim)
  return {
    name: `gear${bits}/${axis}`,
    layout: 'opaque',
    pageRows(headDim) {
      if (headDim % 16 !== 0 || headDim > 256 || (axis === 'token' && headDim % group !== 0))
        throw new ShapeError(`A head of ${headDim} channels cannot be packed so: it must be a multiple of 16 and of ${group}, at most 256.`)
      return options.rows
    },
    bytes: (rows, headDim) => rows * places(headDim).row + places(headDim).shared,
    shared: (headDim) => places(headDim).shared,
    encode(rows, count, headDim, into, shared) {
      const at = places(headDim)
      into.fill(0)
      const rest = new Float32Array(rows.length)
      /** Packs numbers that share a scale, without those that are kept as they are. */
      const packGroup = (members: number[], scale: [Uint8Array, number]): void => {
        const own = new Float32Array(members.length)
        for (let j = 0; j < own.length; j++) own[j] = rows[members[j]]
        const { low, step, codes } = roundGroup(own, levels)
        const stored = { step: putHalf(...scale, step), low: putHalf(scale[0], scale[1] + 2, low) }
        for (let j = 0; j < own.length; j++) {
          const i = members[j]
          const channel = i % headDim
          into[Math.floor(i / headDim) * at.row + (channel % at.codes)] |= codes[j] << (Math.floor(channel / at.codes) * bits)
          rest[i] = own[j] - (codes[j] * stored.step + stored.low)
        }
      }
      if (axis === 'channel') {
        for (let channel = 0; channel < headDim; channel++) {
          const members = progression(channel, headDim, count)
          const { out, others } = extremes(rows, members, at.each)
          out.forEach((i, j) => {
            const slot = channel * at.each + j
            putHalf(shared, at.sharedOutliers + slot * 2, rows[i])
            shared[at.sharedOutliers + headDim * at.each * 2 + slot] = Math.floor(i / headDim)
          })
          packGroup(others, [shared, at.sharedScales + channel * 4])
        }
        for (let row = 0; row < count; row++) into[row * at.row + at.scales] = row
      } else {
        for (let row = 0; row < count; row++) {
          const members = progression(row * headDim, 1, headDim)
          const { out, others } = extremes(rows, members, at.each)
          out.forEach((i, j) => {
            putHalf(into, row * at.row + at.outliers + j * 2, rows[i])
            into[row * at.row + at.outliers + at.each * 2 + j] = i % headDim
          })
          for (let g = 0; g < headDim / group; g++) {
            const own = others.filter((i) => Math.floor((i % headDim) / group) === g)
            packGroup(own, [into, row * at.row + at.scales + g * 4])
          }
        }
      }
      const random = createRandom(1)
      const { left, right } = lowRank(rest, headDim, rank, loops, Float64Array.from({ length: headDim * rank }, random))
      for (let i = 0; i < count * rank; i++) putHalf(into, Math.floor(i / rank) * at.row + at.left + (i % rank) * 2, left[i])
      for (let i = 0; i < headDim * rank; i++) putHalf(shared, i * 2, right[i])
    },
    decode(bytes, count, headDim, into, shared) {
      const at = places(headDim)
      // A channel a row, so that one number of the left matrix meets them all.
      const right = new Float64Array(rank * headDim)
      for (let i = 0; i < right.length; i++) right[(i % rank) * headDim + Math.floor(i / rank)] = takeHalf(shared, i * 2)
      const steps = new Float64Array(headDim)
      const lows = new Float64Array(headDim)
      if (axis === 'channel') readScales(shared, at.sharedScales, 1, steps, lows)
      const sums = new Float64Array(headDim)
      for (let row = 0; row < count; row++) {
        const first = row * at.row
        if (axis === 'token') readScales(bytes, first + at.scales, group, steps, lows)
        for (let channel = 0, i = 0, shift = 0; channel < headDim; channel++, i++) {
          if (i === at.codes) {
            i = 0
            shift += bits
          }
          sums[channel] = ((bytes[first + i] >> shift) & levels) * steps[channel] + lows[channel]
        }
        for (let r = 0; r < rank; r++) {
          const left = takeHalf(bytes, first + at.left + r * 2)
          for (let channel = 0, i = r * headDim; channel < headDim; channel++, i++) sums[channel] += left * right[i]
        }
        into.set(sums, row * headDim)
        for (let j = 0; axis === 'token' && j < at.each; j++)
          into[row * headDim + bytes[first + at.outliers + at.each * 2 + j]] = takeHalf(bytes, first + at.outliers + j * 2)
      }
      if (axis === 'token') return
      const rowOf = new Int16Array(256).fill(-1)
      for (let row = 0; row < count; row++) rowOf[bytes[row * at.row + at.scales]] = row
      for (let slot = 0; slot < headDim * at.each; slot++) {
        const row = rowOf[shared[at.sharedOutliers + headDim * at.each * 2 + slot]]
        if (row >= 0) into[row * headDim + Math.floor(slot / at.each)] = takeHalf(shared, at.sharedOutliers + slot * 2)
      }
    },
  }
}

/** Pairs of scale and minimum, each of which `group` channels share, for every channel. */
function readScales(from: Uint8Array, at: number, group: number, steps: Float64Array, lows: Float64Array): void {
  for (let channel = 0; channel < steps.length; channel += group, at += 4) {
    steps.fill(takeHalf(from, at), channel, channel + group)
    lows.fill(takeHalf(from, at + 2), channel, channel + group)
  }
}

function placesOf({ bits, axis, group, rows, rank, outliers }: GearOptions, headDim: number): Places {
  const codes = (headDim * bits) / 8
  const side = outliers > 0 ? Math.max(1, Math.round((outliers / 2) * (axis === 'channel' ? rows : headDim))) : 0
  const each = 2 * side
  const left = codes,
    scales = left + rank * 2
  const sharedScales = headDim * rank * 2
  if (axis === 'channel') {
    const sharedOutliers = sharedScales + headDim * 4
    return {
      codes,
      left,
      scales,
      outliers: 0,
      row: scales + 2,
      sharedScales,
      sharedOutliers,
      shared: sharedOutliers + headDim * each * 3,
      each,
    }
  }
  const own = scales + (headDim / group) * 4
  return { codes, left, scales, outliers: own, row: own + each * 3, sharedScales, sharedOutliers: 0, shared: sharedScales, each }
}

/** `count` numbers from `first` on, `step` apart. */
function progression(first: number, step: number, count: number): number[] {
  const numbers: number[] = []
  for (let i = 0; i < count; i++) numbers.push(first + i * step)
  return numbers
}
