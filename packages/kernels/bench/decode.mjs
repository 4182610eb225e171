import { dispose, matMul, randomNormal, softmax, tidy } from '@tensorflow/tfjs-core'
import { compare } from './compare.mjs'
import { GROUP, HEAD, queriesOf, release, segment } from './segment.mjs'

/** A decode step of every segment, one after the other. */
export function step(kernels, { queries, state, out }, segments) {
  for (const rows of segments) {
    kernels.begin(state, queries)
    kernels.attend(state, queries, rows)
    kernels.finish(state, queries, out)
  }
}

/** Float32 rows against the same with tfjs's operations. */
export async function againstTfjs(kernels, rows, heads) {
  const asked = queriesOf(kernels, GROUP, 1)
  const segments = Array.from({ length: heads }, () => segment(kernels, rows, 32))
  const [k, v, q] = [rows, rows, GROUP].map((n) => randomNormal([heads, n, HEAD]))
  const row = await compare({
    name: `decode, float32, ${rows.toLocaleString('en')} rows x ${heads} heads, against tfjs operations`,
    goal: 1 / 5,
    rounds: 31,
    ours: () => step(kernels, asked, segments),
    other: () => tidy(() => void matMul(softmax(matMul(q, k, false, true)), v).dataSync()),
  })
  dispose([k, v, q])
  segments.forEach((one) => release(kernels, one))
  return row
}

/** Packed rows, or halves, against float32 ones, over so many heads that neither stays in the cache. */
export async function againstRaw(kernels, rows, heads, bits, keys, goal) {
  const asked = queriesOf(kernels, GROUP, 1)
  const packed = Array.from({ length: heads }, () => segment(kernels, rows, bits, keys))
  const raw = Array.from({ length: heads }, () => segment(kernels, rows, 32))
  const row = await compare({
    name: `decode, ${bits} bits${bits < 16 ? `, keys by ${keys}` : ''}, ${rows.toLocaleString('en')} rows x ${heads} heads, against float32`,
    goal,
    rounds: 15,
    ours: () => step(kernels, asked, packed),
    other: () => step(kernels, asked, raw),
  })
  for (const one of [...packed, ...raw]) release(kernels, one)
  return row
}
