// Calls that threads share, with more and more of them: node packages/kernels/bench/scaling.mjs [1 2 4 8]. Prints a table of milliseconds. Build the package first.
import { threadedKernels, wasmKernels, weightsBytes } from '@kvfold/kernels'
import { step } from './decode.mjs'
import { GROUP, queriesOf, random, release, segment } from './segment.mjs'

const ROWS = 32_768
/** So many heads that no cache of the processor holds their float32 rows: 400 MB. */
const HEADS = 24
const ROUNDS = 9

const counts = process.argv.slice(2).map(Number)
const threads = counts.length ? counts : [1, 2, 4, 8]
const columns = []
for (const count of threads) columns.push(await measure(count))
const widths = [Math.max(...columns[0].map(({ name }) => name.length)), ...threads.map(() => 9)]
console.log(['', ...threads.map((count) => `${count} thread${count > 1 ? 's' : ''}`)].map(pad).join('  '))
for (const [i, { name }] of columns[0].entries())
  console.log([name, ...columns.map((column) => column[i].ms.toFixed(2))].map(pad).join('  '))

function pad(cell, i) {
  return i === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[i])
}

/** All calls with `count` threads. */
async function measure(count) {
  const pool = await threadedKernels({ threads: Math.max(2, count) })
  const kernels = count === 1 ? wasmKernels(pool.heap) : pool
  const results = []
  for (const bits of [32, 16, 8, 4, 2]) results.push(attention(kernels, bits))
  results.push(prompt(kernels))
  for (const [inputs, outputs] of [
    [576, 1536],
    [2048, 8192],
  ])
    for (const rows of [1, 512]) results.push(product(kernels, inputs, outputs, rows))
  await pool.dispose()
  return results
}

function attention(kernels, bits) {
  const asked = queriesOf(kernels, GROUP, 1)
  const segments = Array.from({ length: HEADS }, () => segment(kernels, ROWS, bits))
  const ms = median(() => step(kernels, asked, segments))
  for (const rows of segments) release(kernels, rows)
  return { name: `decode, ${bits === 32 ? 'float32' : `${bits} bits`}, ${HEADS} heads of ${ROWS.toLocaleString('en')} rows`, ms }
}

function prompt(kernels) {
  const { queries, state } = queriesOf(kernels, GROUP, 4096)
  const rows = segment(kernels, 4096, 32)
  const ms = median(() => {
    kernels.begin(state, queries)
    kernels.prefill(state, queries, rows, 0)
  })
  release(kernels, rows)
  return { name: 'causal prefill, 4,096 tokens', ms }
}

/** Over so many copies of one row's weights as no cache of a core holds. */
function product(kernels, inputs, outputs, rows) {
  const { heap } = kernels
  const bytes = weightsBytes({ kind: 'q4', inputs, outputs })
  const copies = Array.from({ length: rows === 1 ? Math.ceil(48e6 / bytes) : 1 }, () => heap.malloc(bytes))
  for (const address of copies) heap.u8.fill(17, address, address + bytes)
  const x = random(kernels, rows * inputs)
  const into = random(kernels, rows * outputs)
  const ms = median(() => {
    for (const address of copies) kernels.linear(x, rows, { kind: 'q4', inputs, outputs, address }, into)
  })
  for (const address of [...copies, x, into]) heap.free(address)
  return {
    name: `${rows} row${rows > 1 ? 's' : ''} times ${inputs} x ${outputs} in 4 bits, ${copies.length} matri${copies.length > 1 ? 'ces' : 'x'}`,
    ms,
  }
}

function median(run) {
  const times = []
  for (let round = -2; round < ROUNDS; round++) {
    const start = performance.now()
    run()
    if (round >= 0) times.push(performance.now() - start)
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]
}
