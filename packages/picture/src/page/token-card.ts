import { css } from '../palette.ts'
import { quoted } from '../words.ts'
import { element } from './element.ts'
import { placeWords } from './place-words.ts'
import type { View } from './view.ts'

/** The heads of the token that was chosen: a cell for each, layer by layer. */
export function tokenCard(view: View): HTMLElement {
  const card = element('div', { class: 'card', 'aria-live': 'polite' })
  view.draws(() => {
    const token = view.chosen
    if (token === undefined) {
      card.replaceChildren(element('p', { class: 'faint' }, 'Choose a token in the text or in the map to see what each head made of it.'))
      return
    }
    const { history, pieces } = view.data
    const { moment, palette } = view
    const cells = Array.from({ length: history.layers }, (_, layer) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, String(layer)),
        ...Array.from({ length: history.kvHeads }, (_, i) => {
          const head = layer * history.kvHeads + i
          const words = placeWords(view, { token, head })
          return element('td', {
            style: `background:${css(token < moment.tokens ? view.colours[moment.states[head][token]] : palette.paper)}`,
            title: words,
            'aria-label': words,
          })
        }),
      ),
    )
    const heads = Array.from({ length: history.kvHeads }, (_, i) => element('th', { scope: 'col' }, String(i)))
    const dismiss = element('button', { type: 'button', 'aria-label': 'close' }, '×')
    dismiss.addEventListener('click', () => view.choose(undefined))
    card.replaceChildren(
      element(
        'p',
        {},
        dismiss,
        element('b', {}, quoted(pieces[token])),
        ` token ${token}, held by ${moment.held(token)} of ${history.heads} heads`,
      ),
      element(
        'table',
        {},
        element('caption', {}, 'layer × head'),
        element('thead', {}, element('tr', {}, element('th'), ...heads)),
        element('tbody', {}, ...cells),
      ),
    )
    card.style.setProperty('--ink', css(palette.ink))
  })
  return card
}
