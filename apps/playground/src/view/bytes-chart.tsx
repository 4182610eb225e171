import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { effect } from '@preact/signals'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { answers } from '../run.ts'
import { chartData, chartOptions } from './chart-options.ts'
import { theme } from './theme.ts'

const HEIGHT = 220

/** What the caches hold, over the time that each side worked. */
export function BytesChart(): JSX.Element {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const box = place.current!
    let chart: UPlot | undefined
    const data = (): UPlot.AlignedData => chartData(answers.full.value.moments, answers.small.value.moments)
    // Colours are read when a chart is made.
    const stopTheme = effect(() => {
      void theme.value
      chart?.destroy()
      chart = new UPlot(chartOptions(box, HEIGHT), chartData([], []), box)
    })
    const stopData = effect(() => {
      void theme.value
      const next = data()
      chart?.setData(next)
    })
    const observer = new ResizeObserver(() => chart?.setSize({ width: box.clientWidth, height: HEIGHT }))
    observer.observe(box)
    return () => {
      observer.disconnect()
      stopData()
      stopTheme()
      chart?.destroy()
    }
  }, [])
  return (
    <section class="chart" aria-labelledby="chart-title">
      <h2 id="chart-title">
        Bytes held <span class="quiet">over each side’s own working time</span>
      </h2>
      <div ref={place} class="plot" role="img" aria-label="Bytes of both caches, and the parts of the compressed one, over time" />
    </section>
  )
}
