import type { Place, View } from './view.ts'

/** How far a pointer moves before it drags. */
const SLACK = 4

/** Pointing, dragging, pinching, the wheel, and the keyboard on the map. */
export function handleMap(canvas: HTMLCanvasElement, view: View, placeAt: (x: number, y: number) => Place | undefined): void {
  const pointers = new Map<number, number>()
  let from = { x: 0, first: 0, tokens: 0, spread: 0 }
  let dragged = false
  const tokenUnder = (x: number): number => from.first + (x / canvas.clientWidth) * from.tokens
  const begin = (): void => {
    const xs = [...pointers.values()]
    from = { x: mean(xs), first: view.first, tokens: view.tokens, spread: Math.abs((xs[0] ?? 0) - (xs[1] ?? 0)) }
  }
  canvas.addEventListener('pointerdown', (event) => {
    pointers.set(event.pointerId, event.offsetX)
    canvas.setPointerCapture(event.pointerId)
    dragged = false
    begin()
  })
  canvas.addEventListener('pointermove', (event) => {
    if (!pointers.has(event.pointerId)) return view.point(placeAt(event.offsetX, event.offsetY))
    pointers.set(event.pointerId, event.offsetX)
    const xs = [...pointers.values()]
    const x = mean(xs)
    if (!dragged && xs.length === 1 && Math.abs(x - from.x) < SLACK) return
    dragged = true
    const tokens = xs.length > 1 && from.spread > 0 ? (from.tokens * from.spread) / Math.max(1, Math.abs(xs[0] - xs[1])) : from.tokens
    view.zoom(tokenUnder(from.x) - (x / canvas.clientWidth) * tokens, tokens)
  })
  const end = (event: PointerEvent): void => {
    pointers.delete(event.pointerId)
    begin()
  }
  canvas.addEventListener('pointerup', end)
  canvas.addEventListener('pointercancel', end)
  canvas.addEventListener('pointerleave', () => view.point(undefined))
  canvas.addEventListener('click', (event) => {
    const place = placeAt(event.offsetX, event.offsetY)
    if (place && !dragged) view.choose(place.token)
  })
  canvas.addEventListener(
    'wheel',
    (event) => {
      // The page scrolls under a map that nobody has clicked.
      if (!event.ctrlKey && canvas.getRootNode() instanceof ShadowRoot && (canvas.getRootNode() as ShadowRoot).activeElement !== canvas)
        return
      event.preventDefault()
      view.zoomAround(view.first + (event.offsetX / canvas.clientWidth) * view.tokens, Math.exp(event.deltaY / 400))
    },
    { passive: false },
  )
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const act = keys(view)[event.key]
    if (!act) return
    event.preventDefault()
    act()
  })
}

function keys(view: View): Record<string, () => void> {
  const { token, head } = view.pointed ?? { token: view.chosen ?? view.first, head: 0 }
  const heads = view.data.history.heads
  const go = (tokens: number, lines: number): void => {
    const next = Math.min(view.length - 1, Math.max(0, token + tokens))
    view.point({ token: next, head: Math.min(heads - 1, Math.max(0, head + lines)) })
    if (next < view.first || next >= view.first + view.tokens) view.zoom(next - view.tokens / 2, view.tokens)
  }
  const step = Math.max(1, Math.round(view.tokens / 200))
  return {
    ArrowLeft: () => go(-step, 0),
    ArrowRight: () => go(step, 0),
    ArrowUp: () => go(0, -1),
    ArrowDown: () => go(0, 1),
    '+': () => view.zoomAround(token, 0.5),
    '=': () => view.zoomAround(token, 0.5),
    '-': () => view.zoomAround(token, 2),
    '0': () => view.zoom(0, view.length),
    Enter: () => view.choose(token),
    Escape: () => view.choose(undefined),
  }
}

function mean(xs: readonly number[]): number {
  return xs.reduce((sum, x) => sum + x, 0) / Math.max(1, xs.length)
}
