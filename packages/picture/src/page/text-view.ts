import { element } from './element.ts'
import type { View } from './view.ts'

/** The text, each token on the colour of what the heads hold of it. */
export function textView(view: View): HTMLElement {
  const { pieces } = view.data
  const spans = pieces.slice(0, view.length).map((piece, token) => element('span', { 'data-token': String(token) }, piece))
  const text = element(
    'div',
    { class: 'text', tabindex: '0', role: 'region', 'aria-label': 'the text, coloured by what is kept of it' },
    ...spans,
  )
  const tokenOf = (event: Event): number | undefined => {
    const { token } = (event.target as HTMLElement).dataset
    return token === undefined ? undefined : Number(token)
  }
  text.addEventListener('click', (event) => {
    const token = tokenOf(event)
    if (token !== undefined) view.choose(token)
  })
  text.addEventListener('pointerover', (event) => {
    const token = tokenOf(event)
    if (token !== undefined) view.point({ token, head: view.pointed?.head ?? 0 })
  })
  text.addEventListener('pointerleave', () => view.point(undefined))

  let drawn: unknown, palette: unknown
  let pointed: HTMLElement | undefined, chosen: HTMLElement | undefined
  view.draws(() => {
    const { moment } = view
    if (drawn !== moment || palette !== view.palette) {
      for (const [token, span] of spans.entries()) {
        span.style.background = token < moment.tokens ? moment.background(token, view.palette) : ''
        span.classList.toggle('unread', token >= moment.tokens)
      }
      drawn = moment
      palette = view.palette
    }
    pointed?.classList.remove('pointed')
    pointed = view.pointed && spans[view.pointed.token]
    pointed?.classList.add('pointed')
    const next = view.chosen === undefined ? undefined : spans[view.chosen]
    if (next === chosen) return
    chosen?.classList.remove('chosen')
    chosen = next
    chosen?.classList.add('chosen')
    // Only this box scrolls, not the page.
    if (chosen) text.scrollTop = chosen.offsetTop - text.clientHeight / 2
  })
  return text
}
