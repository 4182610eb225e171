import { Moment, stateColours } from '../moment.ts'
import type { Palette, Rgb } from '../palette.ts'
import type { PictureData } from '../picture-data.ts'

/** A token in a head. */
export interface Place {
  token: number
  head: number
}

/** The fewest tokens that a map shows. */
const CLOSEST = 16

/** What a picture shows now; its parts draw it anew whenever it changes. */
export class View {
  readonly data: PictureData
  /** Tokens of the last frame: as wide as the map is. */
  readonly length: number
  frame: number
  moment: Moment
  palette: Palette
  colours: Rgb[]
  /** The tokens in the map. */
  first = 0
  tokens: number
  pointed: Place | undefined
  chosen: number | undefined
  private readonly parts: (() => void)[] = []
  private waiting = 0

  constructor(data: PictureData, palette: Palette) {
    const { history } = data
    this.data = data
    this.frame = history.frames.length - 1
    this.length = history.frames[this.frame].tokens
    this.tokens = this.length
    this.moment = new Moment(history, this.frame)
    this.palette = palette
    this.colours = stateColours(history.storage, palette)
  }

  /** Calls `draw` at the next animation frame after a change, and once at first. */
  draws(draw: () => void): void {
    this.parts.push(draw)
    this.changed()
  }

  showFrame(frame: number): void {
    this.frame = frame
    this.moment = new Moment(this.data.history, frame)
    this.changed()
  }

  usePalette(palette: Palette): void {
    this.palette = palette
    this.colours = stateColours(this.data.history.storage, palette)
    this.changed()
  }

  /** Shows `tokens` tokens, as near to `first` as there are that many. */
  zoom(first: number, tokens: number): void {
    this.tokens = Math.round(Math.min(this.length, Math.max(Math.min(CLOSEST, this.length), tokens)))
    this.first = Math.round(Math.min(this.length - this.tokens, Math.max(0, first)))
    this.changed()
  }

  /** Zooms by a factor around a token. */
  zoomAround(token: number, factor: number): void {
    const tokens = this.tokens * factor
    this.zoom(token - ((token - this.first) / this.tokens) * tokens, tokens)
  }

  point(place: Place | undefined): void {
    if (this.pointed?.token === place?.token && this.pointed?.head === place?.head) return
    this.pointed = place
    this.changed()
  }

  choose(token: number | undefined): void {
    this.chosen = token
    this.changed()
  }

  private changed(): void {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0
      for (const draw of this.parts) draw()
    })
  }

  close(): void {
    cancelAnimationFrame(this.waiting)
  }
}
