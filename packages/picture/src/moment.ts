import type { CacheHistory, RowStorage } from '@kvfold/kv-core/history'
import { colourOf, css, mix, type Palette, type Rgb } from './palette.ts'

/** The state of a token that went into another one. */
export const FOLDED = 255

/** What all heads held at one frame, ready to be drawn. */
export class Moment {
  readonly frame: number
  readonly tokens: number
  /** By head, of each token: 0 dropped, FOLDED, or 1 + its place in the history's storage. */
  readonly states: readonly Uint8Array[]
  private readonly history: CacheHistory

  constructor(history: CacheHistory, frame: number) {
    this.history = history
    this.frame = frame
    this.tokens = history.frames[frame]?.tokens ?? 0
    this.states = history.states(frame)
    for (const { folds } of history.frames.slice(0, frame + 1))
      for (let i = 0; i < folds.length; i += 3) {
        const states = this.states[folds[i]]
        if (states[folds[i + 1]] === 0) states[folds[i + 1]] = FOLDED
      }
  }

  /** How many heads hold a token. */
  held(token: number): number {
    return this.states.reduce((sum, states) => sum + Number(isHeld(states[token])), 0)
  }

  /** Tokens that at least one head holds. */
  get heldTokens(): number {
    let count = 0
    for (let token = 0; token < this.tokens; token++) if (this.states.some((states) => isHeld(states[token]))) count++
    return count
  }

  /** Rows, over all heads, by state: [256]. */
  get rows(): Uint32Array {
    const rows = new Uint32Array(256)
    for (const states of this.states) for (const state of states) rows[state]++
    return rows
  }

  /** The states that some row is in, as a legend lists them, and how many rows each has. */
  get present(): { state: number; rows: number }[] {
    const { rows } = this
    const states = [...this.history.storage.keys()].map((i) => i + 1)
    return [...states, FOLDED, 0].map((state) => ({ state, rows: rows[state] })).filter((one) => one.rows > 0)
  }

  /** A token's background: the mean colour of the rows that heads hold of it, the fainter the fewer hold it. */
  background(token: number, palette: Palette): string {
    const sum = [0, 0, 0]
    let held = 0
    for (const states of this.states) {
      const state = states[token]
      if (!isHeld(state)) continue
      held++
      colourOf(this.history.storage[state - 1], palette).forEach((x, i) => (sum[i] += x))
    }
    if (held === 0) return 'transparent'
    const mean = sum.map((x) => Math.round(x / held)) as unknown as Rgb
    return css(mix(palette.paper, mean, 0.08 + (0.62 * held) / this.states.length))
  }
}

export function isHeld(state: number): boolean {
  return state > 0 && state !== FOLDED
}

/** The colour of each state: [256]. */
export function stateColours(storage: readonly RowStorage[], palette: Palette): Rgb[] {
  const colours: Rgb[] = Array.from({ length: 256 }, () => palette.dropped)
  storage.forEach((one, i) => (colours[i + 1] = colourOf(one, palette)))
  colours[FOLDED] = palette.folded
  return colours
}
