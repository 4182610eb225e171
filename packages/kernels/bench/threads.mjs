import { threadedKernels, wasmKernels } from '@kvfold/kernels'
import { decodeCall, productCall, promptCall } from './calls.mjs'
import { compare } from './compare.mjs'

/** A gain of 1.6. */
const GOAL = 0.625

/** Two threads against one, on the same memory. */
export async function benchThreads() {
  const two = await threadedKernels({ threads: 2 })
  const one = wasmKernels(two.heap)
  const rows = []
  /** The call on both; then what it worked on is given back. */
  const both = async (name, rounds, { run, release }) => {
    const sides = { ours: () => run(two), other: () => run(one) }
    rows.push(await compare({ name: `${name}, two threads against one`, goal: GOAL, rounds, ...sides }))
    release()
  }
  for (const held of [4096, 8192, 32_768])
    for (const bits of [32, 4]) {
      const name = `decode, ${bits === 32 ? 'float32' : `${bits} bits`}, ${held.toLocaleString('en')} rows`
      await both(name, 15, decodeCall(one, held, bits, Math.ceil((16 * 8192) / held)))
    }
  await both('causal prefill, 4,096 tokens', 7, promptCall(one, 4096))
  for (const [inputs, outputs] of [
    [576, 1536],
    [2048, 8192],
  ])
    for (const count of [1, 512]) {
      const call = productCall(one, inputs, outputs, count)
      await both(call.name, count === 1 ? 15 : 5, call)
    }
  await two.dispose()
  return rows
}
