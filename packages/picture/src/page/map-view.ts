import { headAt, lineOf, mapHeight, mapPixels, tokenAt, xOf, type MapLayout } from '../map-pixels.ts'
import { css } from '../palette.ts'
import { element } from './element.ts'
import { handleMap } from './map-input.ts'
import { placeWords } from './place-words.ts'
import type { View } from './view.ts'

/** Screen pixels of a head's line, and the height that they are made to fit where there are few heads. */
const LINE = 6
const LEAST_HEIGHT = 180

/** The layers × heads × positions map, with what is pointed at in words below it. */
export function mapView(view: View): HTMLElement {
  const { layers, kvHeads } = view.data.history
  const line = Math.max(LINE, Math.floor(LEAST_HEIGHT / (layers * kvHeads)))
  const layoutOf = (width: number): MapLayout => ({ layers, kvHeads, first: view.first, tokens: view.tokens, width, line, gap: 2 })
  const height = mapHeight(layoutOf(1))
  const canvas = element('canvas', {
    tabindex: '0',
    role: 'application',
    'aria-label': 'map of layers, heads and positions: arrows move, plus and minus zoom, 0 shows all, Enter chooses the token',
    style: `height:${height}px`,
  })
  const says = element('p', { class: 'says', role: 'status' })
  const axis = element('p', { class: 'axis faint' })
  const names = element('div', { class: 'names faint', 'aria-hidden': 'true' })
  for (let layer = 0; layer < layers; layer++)
    names.append(element('span', { style: `top:${lineOf(layer * kvHeads, layoutOf(1))}px` }, `${layer}`))
  const scale = (): number => window.devicePixelRatio || 1
  const draw = (): void => {
    const width = Math.max(1, Math.round(canvas.clientWidth * scale()))
    const layout = layoutOf(width)
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
    const context = canvas.getContext('2d')!
    context.putImageData(new ImageData(mapPixels(view.moment.states, view.colours, layout), width, height), 0, 0)
    const mark = (token: number, alpha: number): void => {
      context.fillStyle = css(view.palette.ink, alpha)
      context.fillRect(xOf(token, layout), 0, Math.max(scale(), width / view.tokens), height)
    }
    if (view.chosen !== undefined) mark(view.chosen, 0.45)
    const { pointed } = view
    if (pointed) {
      mark(pointed.token, 0.25)
      context.strokeStyle = css(view.palette.ink)
      context.lineWidth = 1.5
      context.strokeRect(xOf(pointed.token, layout) - 1, lineOf(pointed.head, layout), Math.max(4, width / view.tokens) + 2, line)
    }
    says.textContent = pointed ? placeWords(view, pointed) : ' '
    axis.replaceChildren(element('span', {}, `token ${view.first}`), element('span', {}, `${view.first + view.tokens - 1}`))
  }
  view.draws(draw)
  new ResizeObserver(draw).observe(canvas)

  const placeAt = (x: number, y: number): { token: number; head: number } | undefined => {
    const layout = layoutOf(canvas.clientWidth)
    const token = tokenAt(x, layout),
      head = headAt(y, layout)
    return head >= 0 && token >= 0 && token < view.length ? { token, head } : undefined
  }
  handleMap(canvas, view, placeAt)
  const button = (label: string, text: string, act: () => void): HTMLElement => {
    const made = element('button', { type: 'button', 'aria-label': label, title: label }, text)
    made.addEventListener('click', act)
    return made
  }
  const middle = (): number => view.first + view.tokens / 2
  const buttons = element(
    'div',
    { class: 'buttons' },
    button('zoom in', '+', () => view.zoomAround(middle(), 0.5)),
    button('zoom out', '−', () => view.zoomAround(middle(), 2)),
    button('show all tokens', '⤢', () => view.zoom(0, view.length)),
  )
  return element('div', { class: 'map' }, buttons, element('div', { class: 'plane' }, names, canvas), axis, says)
}
