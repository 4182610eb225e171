import { matMul, randomNormal, type Tensor2D, tidy } from '@tensorflow/tfjs-core'
import { type Kernels, type PackedWeights, putPackedWeights, weightsBytes } from '@kvfold/kernels'
import { compare, type BenchRow } from './compare.ts'

const SIZES = [
  [576, 1536],
  [2048, 8192],
] as const

/** Bytes that a pass over many copies reads: no cache holds them. */
const READ = 48e6

/** One row times packed weights, against tfjs's product with float32 ones; medians of passes over several matrices. */
export async function benchWeights(kernels: Kernels): Promise<BenchRow[]> {
  const results: BenchRow[] = []
  for (const [inputs, outputs] of SIZES) {
    const copies = Math.ceil(READ / (inputs * outputs))
    const floats = Array.from({ length: Math.ceil(copies / 4) }, () => randomNormal([inputs, outputs]) as Tensor2D)
    const x = randomNormal([1, inputs]) as Tensor2D
    for (const kind of ['q8', 'q4'] as const) {
      const packed = Array.from({ length: copies }, () => filledWeights(kernels, { kind, inputs, outputs }))
      const from = await kernels.borrow(x)
      const into = kernels.heap.malloc(outputs * 4)
      results.push(
        await compare(
          `one row times ${inputs} x ${outputs} weights in ${kind === 'q8' ? 8 : 4} bits against tfjs in float32`,
          0.4,
          15,
          async () => each(packed, (weights) => kernels.linear(from.address, 1, weights, into)),
          async () => each(floats, (weights) => tidy(() => void matMul(x, weights))),
        ),
      )
      for (const { address } of packed) kernels.heap.free(address)
      kernels.heap.free(into)
      from.release()
    }
    for (const tensor of [x, ...floats]) tensor.dispose()
  }
  return results
}

function filledWeights({ heap }: Kernels, shape: Omit<PackedWeights, 'address'>): PackedWeights {
  const weights = { ...shape, address: heap.malloc(weightsBytes(shape)) }
  const scales = new Float32Array(shape.inputs / 32).fill(0.01)
  const row = { codes: Uint8Array.from({ length: shape.inputs }, (_, i) => i % 16), scales, minima: scales }
  for (let output = 0; output < shape.outputs; output++) putPackedWeights(heap, weights, output, row)
  return weights
}

/** Milliseconds for one of them. */
function each<T>(items: readonly T[], use: (item: T) => void): number {
  const start = performance.now()
  items.forEach(use)
  return (performance.now() - start) / items.length
}
