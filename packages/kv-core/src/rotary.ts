import type { PagePool } from './page.ts'
import { frequencies, type RopeSpec } from './rope.ts'

/** The cos and sin tables of the positions at hand, `[count][headDim/2]` float32 in the heap; layers share them. */
export class Rotary {
  private readonly spec: Exclude<RopeSpec, 'external'>
  private readonly headDim: number
  private readonly pool: PagePool
  private start = -1
  private count = 0
  private cos = 0

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

  get bytes(): number {
    return ((2 * this.count * this.headDim) / 2) * 4
  }

  dispose(): void {
    if (this.count > 0) this.pool.free(this.cos, this.bytes)
    this.start = -1
    this.count = 0
  }
}
