import { frameWords, megabytes } from '../words.ts'
import { bytesLine } from './bytes-line.ts'
import { element } from './element.ts'
import type { View } from './view.ts'

/** Milliseconds between two frames when they play. */
const PACE = 120

/** The slider through time, over the line of the cache's bytes. */
export function scrubber(view: View): HTMLElement {
  const { history } = view.data
  const last = history.frames.length - 1
  const slider = element('input', { type: 'range', min: '0', max: String(last), 'aria-label': 'step' })
  const words = element('output', { class: 'moment' })
  const play = element('button', { type: 'button', 'aria-label': 'play the steps' }, '▶')
  let timer = 0
  const stop = (): void => {
    clearInterval(timer)
    timer = 0
    play.textContent = '▶'
  }
  play.addEventListener('click', () => {
    if (timer) return stop()
    if (view.frame === last) view.showFrame(0)
    play.textContent = '⏸'
    timer = window.setInterval(() => (view.frame < last && play.isConnected ? view.showFrame(view.frame + 1) : stop()), PACE)
  })
  slider.addEventListener('input', () => {
    stop()
    view.showFrame(Number(slider.value))
  })
  view.draws(() => {
    const said = frameWords(view.data, view.frame)
    const { ledger } = history.frames[view.frame]
    slider.value = String(view.frame)
    slider.setAttribute('aria-valuetext', said)
    words.replaceChildren(
      element('b', {}, said),
      ` · cache ${megabytes(ledger.bytes)}, a full float32 one ${megabytes(ledger.fullF32Bytes)}`,
    )
  })
  return element('div', { class: 'scrubber' }, play, element('div', { class: 'track' }, bytesLine(view), slider), words)
}
