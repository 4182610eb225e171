// What the order of pages in memory does to decode attention, float32, three queries to a head: `node bench/page-order.mjs`, after a build. Medians of 9.
import { ownHeap, PAGE_ENTRY, wasmKernels } from '@kvfold/kernels'
import { GROUP, HEAD, queriesOf, random } from './segment.mjs'

const PAGES = 2048
const ROWS = 64
const kernels = wasmKernels(ownHeap())
const { heap } = kernels
const bytes = ROWS * HEAD * 4
const memory = random(kernels, (PAGES * 2 * bytes) / 4)
const { queries, state, out } = queriesOf(kernels, GROUP, 1)
const shuffled = Array.from({ length: 2 * PAGES }, (_, i) => i)
for (let i = shuffled.length - 1; i > 0; i--) {
  const j = Math.floor(Math.random() * (i + 1))
  ;[shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]]
}
const inRuns = (run) => (page) => Math.floor(page / run) * 2 * run + (page % run)

/** Where the i-th page of keys and of values lies. */
const ORDERS = {
  'one page again and again': [() => 0, () => 1],
  'all keys, then all values': [(i) => i, (i) => PAGES + i],
  'in runs of 32 pages': [inRuns(32), (i) => inRuns(32)(i) + 32],
  'in runs of 8 pages': [inRuns(8), (i) => inRuns(8)(i) + 8],
  'keys, values, keys, values': [inRuns(1), (i) => inRuns(1)(i) + 1],
  shuffled: [(i) => shuffled[i], (i) => shuffled[PAGES + i]],
}

const tables = [0, 1].map(() => heap.malloc(PAGES * PAGE_ENTRY * 4))
for (const [name, places] of Object.entries(ORDERS)) {
  for (const [part, place] of places.entries())
    for (let i = 0; i < PAGES; i++) heap.i32.set([memory + place(i) * bytes, ROWS, 0, ROWS], (tables[part] >>> 2) + i * PAGE_ENTRY)
  const rows = { keyTable: tables[0], keyPages: PAGES, valueTable: tables[1], valuePages: PAGES, rows: PAGES * ROWS }
  const times = []
  for (let round = -1; round < 9; round++) {
    const start = performance.now()
    kernels.begin(state, queries)
    kernels.attend(state, queries, { ...rows, bias: 0, logitScale: 1, logWeight: 0 })
    kernels.finish(state, queries, out)
    if (round >= 0) times.push(performance.now() - start)
  }
  const nanoseconds = (times.sort((a, b) => a - b)[4] / rows.rows) * 1e6
  console.log(`${process.version}  ${name.padEnd(28)} ${nanoseconds.toFixed(1).padStart(5)} ns a row`)
}
