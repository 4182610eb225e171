import { css } from '../palette.ts'
import { count, stateWords } from '../words.ts'
import { element } from './element.ts'
import type { View } from './view.ts'

/** What the colours mean, with the rows of each. */
export function legend(view: View): HTMLElement {
  const list = element('ul', { class: 'legend' })
  view.draws(() => {
    list.replaceChildren(
      ...view.moment.present.map(({ state, rows }) =>
        element(
          'li',
          {},
          element('i', { style: `background:${css(view.colours[state])}` }),
          `${stateWords(view.data.history, state, 'folded into another row')} `,
          element('span', { class: 'faint' }, `${count(rows)} rows`),
        ),
      ),
    )
  })
  return list
}
