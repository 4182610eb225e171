import UPlot from 'uplot'
import type { Moment } from '../run.ts'
import { bytes } from './format.ts'

/** The lines: both caches, then the parts of the compressed one. */
const LINES = [
  { label: 'full', colour: '--full', width: 2 },
  { label: 'compressed', colour: '--small', width: 2.5 },
  { label: 'payload', colour: '--payload', width: 1 },
  { label: 'scales', colour: '--scales', width: 1 },
  { label: 'columns', colour: '--columns', width: 1 },
  { label: 'indices', colour: '--indices', width: 1 },
] as const

const PARTS = ['bytes', 'payload', 'scales', 'columns', 'indices'] as const

// An enumeration that exists in types only.
const LOGARITHMIC: object = { distr: 3 }

/** How the chart looks, in the colours of the page. Bytes are on a logarithmic scale: caches differ by orders of magnitude. */
export function chartOptions(box: HTMLElement, height: number): UPlot.Options {
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string): string => style.getPropertyValue(name).trim()
  const axis = {
    stroke: colour('--soft'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  }
  return {
    width: box.clientWidth,
    height,
    legend: { live: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(0.05, high ?? 1)] },
      y: { ...LOGARITHMIC, range: logRange },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map((second) => `${second} s`) },
      {
        ...axis,
        size: 62,
        splits: powersOfTen,
        // As they are: uPlot would leave out some of a logarithmic scale.
        filter: (_, splits) => splits,
        values: (_, splits) => splits.map((size) => bytes(size)),
      },
    ],
    series: [
      {},
      ...LINES.map(({ label, colour: name, width }) => ({ label, stroke: colour(name), width, spanGaps: true, points: { show: false } })),
    ],
  }
}

/** One row of times, and of each line its values there. */
export function chartData(full: readonly Moment[], small: readonly Moment[]): UPlot.AlignedData {
  const seconds = (moments: readonly Moment[]): number[] => moments.map(({ at }) => at / 1000)
  // A logarithm has no zero.
  const above = (value: number): number | null => (value > 0 ? value : null)
  const ofFull: UPlot.AlignedData = [seconds(full), full.map((moment) => above(moment.bytes))]
  const ofSmall: UPlot.AlignedData = [seconds(small), ...PARTS.map((part) => small.map((moment) => above(moment[part])))]
  return UPlot.join([ofFull, ofSmall])
}

function logRange(_: UPlot, low: number | null, high: number | null): [number, number] {
  const floor = 10 ** Math.floor(Math.log10(low ?? 1e4)),
    ceiling = 10 ** Math.ceil(Math.log10(high ?? 1e8))
  return [floor, ceiling > floor ? ceiling : floor * 10]
}

/** A line at each power of ten, and none between. */
function powersOfTen(_: UPlot, __: number, low: number, high: number): number[] {
  const first = Math.round(Math.log10(low))
  return Array.from({ length: Math.round(Math.log10(high)) - first + 1 }, (___, i) => 10 ** (first + i))
}
