import { threadedKernels, wasmKernels, weightsBytes } from '@kvfold/kernels'
import { compare } from './compare.mjs'
import { step } from './decode.mjs'
import { GROUP, queriesOf, random, release, segment } from './segment.mjs'

/** A gain of 1.6. */
const GOAL = 0.625
/** Bytes that a pass over many copies reads: no cache of a core holds them. */
const READ = 48e6

/** Two threads against one, on the same memory. */
export async function benchThreads() {
  const two = await threadedKernels({ threads: 2 })
  const one = wasmKernels(two.heap)
  const rows = []
  for (const held of [4096, 8192, 32_768]) for (const bits of [32, 4]) rows.push(await attention(two, one, held, bits))
  rows.push(await prompt(two, one, 4096))
  for (const [inputs, outputs] of [
    [576, 1536],
    [2048, 8192],
  ])
    for (const count of [1, 512]) rows.push(await product(two, one, inputs, outputs, count))
  await two.dispose()
  return rows
}

async function attention(two, one, held, bits) {
  const asked = queriesOf(one, GROUP, 1)
  const segments = Array.from({ length: Math.ceil((16 * 8192) / held) }, () => segment(one, held, bits))
  const row = await compare({
    name: `decode, ${bits === 32 ? 'float32' : `${bits} bits`}, ${held.toLocaleString('en')} rows, two threads against one`,
    goal: GOAL,
    rounds: 15,
    ours: () => step(two, asked, segments),
    other: () => step(one, asked, segments),
  })
  for (const rows of segments) release(one, rows)
  return row
}

async function prompt(two, one, tokens) {
  const { queries, state } = queriesOf(one, GROUP, tokens)
  const rows = segment(one, tokens, 32)
  const run = (kernels) => {
    kernels.begin(state, queries)
    kernels.prefill(state, queries, rows, 0)
  }
  const name = `causal prefill, ${tokens.toLocaleString('en')} tokens, two threads against one`
  return compare({ name, goal: GOAL, rounds: 7, ours: () => run(two), other: () => run(one) })
}

async function product(two, one, inputs, outputs, rows) {
  const { heap } = one
  const bytes = weightsBytes({ kind: 'q4', inputs, outputs })
  const copies = Array.from({ length: rows === 1 ? Math.ceil(READ / bytes) : 1 }, () => heap.malloc(bytes))
  for (const address of copies) heap.u8.fill(17, address, address + bytes)
  const x = random(one, rows * inputs),
    into = random(one, rows * outputs)
  const run = (kernels) => {
    for (const address of copies) kernels.linear(x, rows, { kind: 'q4', inputs, outputs, address }, into)
  }
  const row = await compare({
    name: `${rows === 1 ? 'one row' : `${rows} rows`} times ${inputs} x ${outputs} weights in 4 bits, two threads against one`,
    goal: GOAL,
    rounds: rows === 1 ? 15 : 5,
    ours: () => run(two),
    other: () => run(one),
  })
  for (const address of [...copies, x, into]) heap.free(address)
  return row
}
