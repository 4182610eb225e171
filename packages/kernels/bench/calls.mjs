// Calls that threads share. Each comes with what it works on in the heap of some kernels, and runs on any kernels of that heap.
import { weightsBytes } from '@kvfold/kernels'
import { step } from './decode.mjs'
import { GROUP, queriesOf, random, release, segment } from './segment.mjs'

/** Bytes that a pass over many copies reads: no cache of a core holds them. */
const READ = 48e6

/** A decode step over segments of so many rows. */
export function decodeCall(kernels, rows, bits, segments) {
  const asked = queriesOf(kernels, GROUP, 1)
  const held = Array.from({ length: segments }, () => segment(kernels, rows, bits))
  return {
    run: (own) => step(own, asked, held),
    release: () => held.forEach((one) => release(kernels, one)),
  }
}

/** A prompt that sees itself, causally. */
export function promptCall(kernels, tokens) {
  const { queries, state } = queriesOf(kernels, GROUP, tokens)
  const rows = segment(kernels, tokens, 32)
  return {
    run(own) {
      own.begin(state, queries)
      own.prefill(state, queries, rows, 0)
    },
    release: () => release(kernels, rows),
  }
}

/** Rows times weights in 4 bits: many rows times one matrix, or one times so many that no cache holds them. */
export function productCall(kernels, inputs, outputs, rows) {
  const { heap } = kernels
  const bytes = weightsBytes({ kind: 'q4', inputs, outputs })
  const copies = Array.from({ length: rows === 1 ? Math.ceil(READ / bytes) : 1 }, () => heap.malloc(bytes))
  for (const address of copies) heap.u8.fill(17, address, address + bytes)
  const x = random(kernels, rows * inputs),
    into = random(kernels, rows * outputs)
  return {
    name: `${rows} row${rows > 1 ? 's' : ''} times ${inputs} x ${outputs} in 4 bits, ${copies.length} matri${copies.length > 1 ? 'ces' : 'x'}`,
    run(own) {
      for (const address of copies) own.linear(x, rows, { kind: 'q4', inputs, outputs, address }, into)
    },
    release: () => [...copies, x, into].forEach((address) => heap.free(address)),
  }
}
