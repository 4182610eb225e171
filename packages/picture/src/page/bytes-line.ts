import { css } from '../palette.ts'
import type { View } from './view.ts'

const NS = 'http://www.w3.org/2000/svg'

/** The cache's bytes over the steps, as a small line under what a full float32 cache takes. */
export function bytesLine(view: View): SVGElement {
  const { frames } = view.data.history
  const most = Math.max(...frames.map(({ ledger }) => Math.max(ledger.bytes, ledger.fullF32Bytes)))
  const x = (frame: number): number => (frames.length > 1 ? (frame / (frames.length - 1)) * 100 : 50)
  const line = (bytes: (frame: number) => number): string => frames.map((_, i) => `${x(i)},${30 - (bytes(i) / most) * 28}`).join(' ')
  const svg = document.createElementNS(NS, 'svg')
  svg.setAttribute('viewBox', '0 0 100 30')
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('aria-hidden', 'true')
  const [full, held] = [(i: number) => frames[i].ledger.fullF32Bytes, (i: number) => frames[i].ledger.bytes].map((bytes) => {
    const made = document.createElementNS(NS, 'polyline')
    made.setAttribute('points', line(bytes))
    made.setAttribute('fill', 'none')
    made.setAttribute('vector-effect', 'non-scaling-stroke')
    svg.append(made)
    return made
  })
  full.setAttribute('stroke-dasharray', '3 3')
  view.draws(() => {
    full.setAttribute('stroke', css(view.palette.ink, 0.4))
    held.setAttribute('stroke', css(view.palette.bits[3]))
    held.setAttribute('stroke-width', '2')
  })
  return svg
}
