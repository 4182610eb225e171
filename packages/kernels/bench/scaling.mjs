// Calls that threads share, with more and more of them: node packages/kernels/bench/scaling.mjs [1 2 4 8]. Prints a table of milliseconds. Build the package first.
import { threadedKernels, wasmKernels } from '@kvfold/kernels'
import { decodeCall, productCall, promptCall } from './calls.mjs'

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
  const time = (name, { run, release }) => {
    results.push({ name, ms: median(() => run(kernels)) })
    release()
  }
  for (const bits of [32, 16, 8, 4, 2]) {
    const name = `decode, ${bits === 32 ? 'float32' : `${bits} bits`}, ${HEADS} heads of ${ROWS.toLocaleString('en')} rows`
    time(name, decodeCall(kernels, ROWS, bits, HEADS))
  }
  time('causal prefill, 4,096 tokens', promptCall(kernels, 4096))
  for (const [inputs, outputs] of [
    [576, 1536],
    [2048, 8192],
  ])
    for (const rows of [1, 512]) {
      const call = productCall(kernels, inputs, outputs, rows)
      time(call.name, call)
    }
  await pool.dispose()
  return results
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
