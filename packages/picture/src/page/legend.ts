import { colourOf, css } from '../palette.ts'
import { FOLDED } from '../moment.ts'
import { count, storageWords } from '../words.ts'
import { element } from './element.ts'
import type { View } from './view.ts'

/** What the colours mean, with the rows of each. */
export function legend(view: View): HTMLElement {
  const list = element('ul', { class: 'legend' })
  view.draws(() => {
    const { storage } = view.data.history
    const rows = view.moment.rows
    const entries = storage.map((one, i) => ({ words: storageWords(one), colour: colourOf(one, view.palette), rows: rows[i + 1] }))
    entries.push({ words: 'folded into another row', colour: view.palette.folded, rows: rows[FOLDED] })
    entries.push({ words: 'dropped', colour: view.palette.dropped, rows: rows[0] })
    list.replaceChildren(
      ...entries
        .filter((entry) => entry.rows > 0)
        .map((entry) =>
          element(
            'li',
            {},
            element('i', { style: `background:${css(entry.colour)}` }),
            `${entry.words} `,
            element('span', { class: 'faint' }, `${count(entry.rows)} rows`),
          ),
        ),
    )
  })
  return list
}
