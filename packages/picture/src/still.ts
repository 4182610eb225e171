import { lineOf, mapHeight, mapPixels, type MapLayout } from './map-pixels.ts'
import { Moment, stateColours } from './moment.ts'
import { css, light, mix, type Rgb } from './palette.ts'
import type { Report } from './report.ts'
import { count, frameWords, stateWords } from './words.ts'

/** What a still needs of a canvas' 2D context. */
export interface Canvas2D {
  fillStyle: unknown
  font: string
  textAlign: string
  fillRect(x: number, y: number, width: number, height: number): void
  fillText(text: string, x: number, y: number): void
  measureText(text: string): { width: number }
  createImageData(width: number, height: number): { data: Uint8ClampedArray }
  putImageData(image: never, x: number, y: number): void
}

const WIDTH = 1440
const MARGIN = 40
const LEFT = 84
const LINE_HEIGHT = 26
/** In a line. */
const FACTS = 4
/** A map is about so high, whatever the number of heads. */
const MAP_HEIGHT = 420

function layoutOf({ history }: Report): MapLayout {
  const { layers, kvHeads, heads, frames } = history
  const line = Math.max(4, Math.floor(MAP_HEIGHT / heads))
  return { layers, kvHeads, first: 0, tokens: frames.at(-1)?.tokens ?? 1, width: WIDTH - LEFT - MARGIN, line, gap: 3 }
}

function lines({ question, answer, facts }: Report): string[] {
  const said = [question && `Question: ${question}`, answer && `Answer: ${answer}`].filter((text): text is string => !!text)
  const known: string[] = []
  for (let i = 0; i < facts.length; i += FACTS)
    known.push(
      facts
        .slice(i, i + FACTS)
        .map(([name, value]) => `${name}: ${value}`)
        .join('   ·   '),
    )
  return [...said.map((text) => text.replaceAll('\n', ' ')), ...known]
}

/** Pixels that a still takes. */
export function stillSize(report: Report): { width: number; height: number } {
  return { width: WIDTH, height: MARGIN * 2 + 44 + lines(report).length * LINE_HEIGHT + 60 + mapHeight(layoutOf(report)) + 40 }
}

/** Draws the last moment of a report: what was asked and answered, the map, its legend. `family`: the font. */
export function drawStill(context: Canvas2D, report: Report, family: string = 'sans-serif'): void {
  const { history } = report
  const { width, height } = stillSize(report)
  const frame = history.frames.length - 1
  const moment = new Moment(history, frame)
  const layout = layoutOf(report)
  const ink = css(light.ink),
    faint = css(mix(light.ink, light.paper, 0.4))
  const write = (text: string, x: number, y: number, size: number, color: string = ink, weight: number = 400): void => {
    context.font = `${weight} ${size}px ${family}`
    context.fillStyle = color
    context.fillText(fitted(context, text, width - x - MARGIN), x, y)
  }
  context.fillStyle = css(light.paper)
  context.fillRect(0, 0, width, height)
  context.textAlign = 'left'
  let y = MARGIN + 22
  write(report.title, MARGIN, y, 26, ink, 600)
  y += 14
  for (const text of lines(report)) write(text, MARGIN, (y += LINE_HEIGHT), 17)
  y += 38
  const colours = stateColours(history.storage, light)
  drawLegend(context, report, moment, colours, y, family)
  y += 22
  const pixels = mapPixels(moment.states, colours, layout)
  const image = context.createImageData(layout.width, mapHeight(layout))
  image.data.set(pixels)
  context.putImageData(image as never, LEFT, y)
  context.textAlign = 'right'
  for (let layer = 0; layer < layout.layers; layer++) {
    const middle = y + lineOf(layer * layout.kvHeads, layout) + (layout.kvHeads * layout.line) / 2
    write(layer === 0 ? 'layer 0' : String(layer), LEFT - 10, middle + 5, 13, faint)
  }
  context.textAlign = 'left'
  y += mapHeight(layout) + 22
  write('token 0', LEFT, y, 13, faint)
  write(frameWords(report, frame), LEFT + 90, y, 13, faint)
  context.textAlign = 'right'
  context.font = `400 13px ${family}`
  context.fillText(count(layout.tokens - 1), width - MARGIN, y)
}

function drawLegend(context: Canvas2D, { history }: Report, moment: Moment, colours: readonly Rgb[], y: number, family: string): void {
  context.font = `400 15px ${family}`
  let x = LEFT
  for (const { state, rows } of moment.present) {
    const text = `${stateWords(history, state, 'folded')} (${count(rows)} rows)`
    context.fillStyle = css(colours[state])
    context.fillRect(x, y - 12, 14, 14)
    context.fillStyle = css(light.ink)
    context.fillText(text, x + 20, y)
    x += context.measureText(text).width + 48
  }
}

/** As much of a text as fits. */
function fitted(context: Canvas2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text
  let length = text.length
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length = Math.floor(length * 0.95)
  return `${text.slice(0, length)}…`
}
