import type { Kernels } from '@kvfold/kernels'
import type { PagePool } from './page.ts'
import { frequencies, type RopeSpec } from './rope.ts'

/** Turns are put together from those by multiples of so many positions and those by fewer. */
const TURNS = 64

/** Cos and sin tables in the heap, `[count][headDim/2]` float32 each: of the positions at hand, which layers share, and of turns. */
export class Rotary {
  private readonly spec: Exclude<RopeSpec, 'external'>
  private readonly headDim: number
  private readonly pool: PagePool
  private start = -1
  private count = 0
  private cos = 0
  /** [cos, sin] of a turn by so many positions. */
  private readonly turns = new Map<number, [Float64Array, Float64Array]>()

  constructor(spec: Exclude<RopeSpec, 'external'>, headDim: number, pool: PagePool) {
    this.spec = spec
    this.headDim = headDim
    this.pool = pool
  }

  /** Addresses of the tables for the positions `start .. start+count`. */
  tables(start: number, count: number): { cos: number; sin: number } {
    const half = this.headDim / 2
    if (start !== this.start || count !== this.count) {
      this.dispose()
      this.cos = this.pool.malloc(2 * count * half * 4)
      const { f32 } = this.pool.heap
      const { perPair, attentionFactor } = frequencies(this.spec, this.headDim, start + count)
      let at = this.cos >> 2
      const sines = count * half
      for (let i = 0; i < count; i++) {
        for (let pair = 0; pair < half; pair++, at++) {
          const angle = (start + i) * perPair[pair]
          f32[at] = Math.cos(angle) * attentionFactor
          f32[at + sines] = Math.sin(angle) * attentionFactor
        }
      }
      this.start = start
      this.count = count
    }
    return { cos: this.cos, sin: this.cos + count * half * 4 }
  }

  /** Writes the tables that turn vectors by `by` positions each to `into`: cosines `[by.length][headDim/2]`, then sines. */
  writeTurns(by: readonly number[], into: number): void {
    const half = this.headDim / 2
    const { f32 } = this.pool.heap
    by.forEach((positions, i) => {
      const [cos, sin] = this.turn(positions)
      f32.set(cos, (into >> 2) + i * half)
      f32.set(sin, (into >> 2) + (by.length + i) * half)
    })
  }

  private turn(positions: number): [Float64Array, Float64Array] {
    let known = this.turns.get(positions)
    if (!known) {
      const { perPair } = frequencies(this.spec, this.headDim, 0)
      known = [Float64Array.from(perPair, (f) => Math.cos(positions * f)), Float64Array.from(perPair, (f) => Math.sin(positions * f))]
      // After a prompt rows turn by thousands of distances, at a step by one or two.
      if (this.turns.size >= 4 * TURNS) this.turns.clear()
      this.turns.set(positions, known)
    }
    return known
  }

  /** Rotates `positions.length` vectors at `address` for their positions, or, with `back`, undoes that. */
  turnRows(kernels: Kernels, address: number, positions: Float32Array, back: boolean): void {
    const half = this.headDim / 2
    const count = positions.length
    const bytes = 2 * count * half * 4
    const tables = this.pool.malloc(bytes)
    const { f32 } = this.pool.heap
    const sign = back ? -1 : 1
    let cosine = tables >> 2,
      sine = cosine + count * half
    for (const position of positions) {
      const whole = Math.trunc(position / TURNS) * TURNS
      const [cosFar, sinFar] = this.turn(whole),
        [cosNear, sinNear] = this.turn(position - whole)
      for (let pair = 0; pair < half; pair++) {
        f32[cosine++] = cosFar[pair] * cosNear[pair] - sinFar[pair] * sinNear[pair]
        f32[sine++] = sign * (sinFar[pair] * cosNear[pair] + cosFar[pair] * sinNear[pair])
      }
    }
    kernels.rope(address, address, count, this.headDim, tables, tables + bytes / 2)
    this.pool.free(tables, bytes)
  }

  get bytes(): number {
    return ((2 * this.count * this.headDim) / 2) * 4
  }

  dispose(): void {
    if (this.count > 0) this.pool.free(this.cos, this.bytes)
    this.start = -1
    this.count = 0
  }
}
