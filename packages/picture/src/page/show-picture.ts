import type { PictureData } from '../picture-data.ts'
import { element } from './element.ts'
import { legend } from './legend.ts'
import { mapView } from './map-view.ts'
import { scrubber } from './scrubber.ts'
import { style } from './style.ts'
import { textView } from './text-view.ts'
import { paletteOf, watchTheme } from './theme.ts'
import { tokenCard } from './token-card.ts'
import { View } from './view.ts'

/** A picture in a page. */
export interface ShownPicture {
  /** Takes it out of its element, and ends what it listens to. */
  close(): void
}

/**
 * Shows what a cache kept, in place of an element's content: a slider through time, the map of layers, heads and positions, the text with its tokens coloured,
 * and the heads of a token. It lives in a shadow root of its own and follows the page's `color-scheme`.
 */
export function showPicture(root: HTMLElement, data: PictureData): ShownPicture {
  const host = element('div')
  const shadow = host.attachShadow({ mode: 'open' })
  root.replaceChildren(host)
  const view = new View(data, paletteOf(host))
  shadow.append(
    element('style', {}, style),
    scrubber(view),
    legend(view),
    mapView(view),
    element('div', { class: 'lower' }, textView(view), tokenCard(view)),
  )
  const unwatch = watchTheme(() => view.usePalette(paletteOf(host)))
  return {
    close() {
      unwatch()
      view.close()
      host.remove()
    },
  }
}
