import { CacheHistory } from '@kvfold/kv-core/history'
import { colourOf, dark, FOLDED, isHeld, light, Moment, stateColours } from '@kvfold/picture'
import { describe, expect, it } from 'vitest'
import { historyOf } from './history-of.ts'
import { intoNewest, newest } from './toy-methods.ts'

describe('a moment', () => {
  it('tells kept, dropped and folded tokens apart', async () => {
    const dropped = new Moment(await historyOf([newest], 30, 2), 0)
    expect([...dropped.states[0]]).toEqual([...Array(20).fill(0), ...Array(10).fill(1)])
    expect([dropped.held(0), dropped.held(29), dropped.heldTokens]).toEqual([0, 4, 10])
    expect([dropped.rows[0], dropped.rows[1]]).toEqual([80, 40])
    const folded = new Moment(await historyOf([newest, intoNewest], 30, 2), 2)
    expect([...folded.states[3]]).toEqual([...Array(20).fill(FOLDED), ...Array(12).fill(1)])
    expect([folded.held(0), folded.rows[FOLDED], isHeld(FOLDED)]).toEqual([0, 80, false])
  })

  it('colours tokens by how many heads hold them', () => {
    const storage = [{ keys: { codec: 'raw32', bits: 32 }, values: { codec: 'raw32', bits: 32 } }]
    const changes = Int32Array.of(0, 0, 3, 1, 1, 1, 2, 1)
    const history = new CacheHistory({
      policy: 'p',
      layers: 1,
      kvHeads: 2,
      storage,
      scores: [],
      frames: [{ tokens: 4, ledger: {} as never, changes, folds: new Int32Array(0) }],
    })
    const moment = new Moment(history, 0)
    const strength = (token: number): number => {
      const [, red] = /(\d+)/.exec(moment.background(token, light))!
      return (light.paper[0] - Number(red)) / (light.paper[0] - light.bits[4][0])
    }
    expect(strength(0)).toBeCloseTo(0.08 + 0.31, 1)
    expect(strength(1)).toBeCloseTo(0.08 + 0.62, 1)
    expect(moment.background(3, light)).toBe('transparent')
  })

  it('has a colour for every number of bits, and one for what is away', () => {
    const stored = (bits: number, tier?: string) => ({ keys: { codec: '', bits, tier }, values: { codec: '', bits, tier } })
    for (const palette of [light, dark]) {
      expect([1.1, 2.5, 3, 4.5, 5, 8.5, 16, 32, 33].map((bits) => palette.bits.indexOf(colourOf(stored(bits), palette)))).toEqual([
        0, 0, 0, 1, 1, 2, 3, 4, 4,
      ])
      expect(colourOf(stored(4, 'disk'), palette)).toBe(palette.away)
      const colours = stateColours([stored(4)], palette)
      expect([colours[0], colours[1], colours[FOLDED]]).toEqual([palette.dropped, palette.bits[1], palette.folded])
    }
  })
})
