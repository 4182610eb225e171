import { dispose, matMul, randomNormal, reshape, softmax, tidy } from '@tensorflow/tfjs-core'
import type { Loaded } from '../load.ts'
import { registry } from '../registry.ts'
import { compare, type BenchRow } from './compare.ts'
import { type Filled, filled } from './filled.ts'

const ROUNDS = 25

/** Caches of so many bits, and the most of float32's time that they may take. */
const BITS = [
  [16, 'float16', 1],
  [8, 'kivi(bits=8)', 0.6],
  [4, 'kivi(bits=4)', 0.5],
  [2, 'kivi(bits=2)', 0.5],
] as const

/** Decode attention of all layers over many rows: packed caches against the raw one, the raw one against tfjs operations and a plain read. */
export async function benchDecode(loaded: Loaded, rows: number): Promise<BenchRow[]> {
  const raw = await filled(loaded, registry.policy('full'), rows)
  const shown = rows.toLocaleString('en')
  const results = [await againstTfjs(loaded, raw, rows), await againstReading(loaded, raw, rows)]
  for (const [bits, text, goal] of BITS) {
    const packed = await filled(loaded, registry.policy(text), rows)
    results.push(
      await compare(
        `decode attention, ${shown} rows: ${bits} bits against float32`,
        goal,
        ROUNDS,
        () => packed.step(),
        () => raw.step(),
      ),
    )
    await packed.dispose()
  }
  await raw.dispose()
  return results
}

async function againstTfjs(loaded: Loaded, raw: Filled, rows: number): Promise<BenchRow> {
  const { layers, queryHeads, kvHeads, headDim } = loaded.model.shape
  const stored = Array.from({ length: layers }, () => [randomNormal([kvHeads, rows, headDim]), randomNormal([kvHeads, rows, headDim])])
  const q = randomNormal([kvHeads, queryHeads / kvHeads, headDim])
  const operations = async (): Promise<void> => {
    for (const [k, v] of stored) {
      const out = tidy(() => reshape(matMul(softmax(matMul(q, k, false, true)), v), [queryHeads, 1, headDim]))
      await out.data()
      out.dispose()
    }
  }
  const row = await compare(
    `decode attention, ${rows.toLocaleString('en')} rows: the cache against tfjs operations on tensors`,
    0.2,
    ROUNDS,
    () => raw.step(),
    operations,
  )
  dispose([q, ...stored.flat()])
  return row
}

/** The kernels' search for NaN does nothing but read. */
async function againstReading(loaded: Loaded, raw: Filled, rows: number): Promise<BenchRow> {
  const { kernels } = loaded
  const { layers, kvHeads, headDim } = loaded.model.shape
  const numbers = layers * kvHeads * rows * headDim * 2
  const address = kernels.heap.malloc(numbers * 4)
  kernels.heap.f32.fill(1, address >>> 2, (address >>> 2) + numbers)
  const row = await compare(
    `decode attention, ${rows.toLocaleString('en')} rows: the cache against a plain read of its bytes`,
    1.5,
    ROUNDS,
    () => raw.step(),
    async () => kernels.isFinite(address, numbers) || undefined,
  )
  kernels.heap.free(address)
  return row
}
