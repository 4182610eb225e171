import { add, concat, dispose, gather, mul, randomNormal, slice, sub, tensor, tidy } from '@tensorflow/tfjs-core'
import { compare } from './compare.mjs'
import { HEAD, random, release, segment } from './segment.mjs'

/** Rope and gather against tfjs's operations. */
export async function benchMoves(kernels, rows) {
  const { heap } = kernels
  const half = HEAD / 2
  const shown = rows.toLocaleString('en')
  const [from, cos, sin, into] = [HEAD, half, half, HEAD].map((width) => random(kernels, rows * width))
  const [x, c, s] = [HEAD, half, half].map((width) => randomNormal([rows, width]))
  const kept = Int32Array.from({ length: rows / 2 }, (_, i) => 2 * i)
  const indices = heap.malloc(kept.byteLength)
  heap.i32.set(kept, indices >>> 2)
  const keptTensor = tensor(kept, [kept.length], 'int32')
  const whole = segment(kernels, rows, 32)
  const target = segment(kernels, rows / 2, 32)
  const rotate = () => {
    const a = slice(x, [0, 0], [rows, half])
    const b = slice(x, [0, half], [rows, half])
    return concat([sub(mul(a, c), mul(b, s)), add(mul(b, c), mul(a, s))], 1)
  }
  const results = [
    await compare({
      name: `rope, ${shown} rows, against tfjs operations`,
      goal: 1 / 2,
      rounds: 31,
      ours: () => kernels.rope(from, into, rows, HEAD, cos, sin),
      other: () => tidy(() => void rotate().dataSync()),
    }),
    await compare({
      name: `gather, every other of ${shown} rows, against tfjs gather`,
      goal: 1,
      rounds: 31,
      ours: () => kernels.gather(whole.keyTable, whole.keyPages, target.keyTable, target.keyPages, indices, kept.length, 0, HEAD * 4),
      other: () => tidy(() => void gather(x, keptTensor)),
    }),
  ]
  dispose([x, c, s, keptTensor])
  for (const one of [whole, target]) release(kernels, one)
  for (const one of [from, cos, sin, into, indices]) heap.free(one)
  return results
}
