import { dispose, matMul, randomNormal, reshape, softmax, tidy, type Tensor3D } from '@tensorflow/tfjs-core'
import { KvCache, type Policy } from '@kvfold/kv-core'
import type { Loaded } from '../load.ts'
import { registry } from '../registry.ts'
import { compare, type BenchRow } from './compare.ts'

const ROUNDS = 9

/** Decode attention of all layers over many rows: packed caches against the raw one, the raw one against tfjs operations. */
export async function benchDecode(loaded: Loaded, rows: number): Promise<BenchRow[]> {
  const raw = await filled(loaded, registry.policy('full'), rows)
  const results: BenchRow[] = []
  const shown = rows.toLocaleString('en')
  for (const [bits, goal] of [
    [8, 1],
    [4, 1],
    [2, 1],
  ]) {
    const packed = await filled(loaded, registry.policy(`kivi(bits=${bits})`), rows)
    results.push(
      await compare(
        `decode attention, ${shown} rows: ${bits} bits against float32`,
        goal,
        ROUNDS,
        () => step(loaded, packed),
        () => step(loaded, raw),
      ),
    )
    await packed.dispose()
  }
  results.push(await againstTfjs(loaded, raw, rows))
  await raw.dispose()
  return results
}

async function filled({ model, kernels }: Loaded, policy: Policy, rows: number): Promise<KvCache> {
  const cache = new KvCache(model.shape, { policy, kernels, model })
  for (let layer = 0; layer < model.shape.layers; layer++) {
    // Chunks of one long prompt would cost its attention: as many short prompts hold the same rows.
    for (let done = 0; done < rows; done += 512) await attend(model.shape, cache, layer, Math.min(512, rows - done))
  }
  return cache
}

async function step({ model }: Loaded, cache: KvCache): Promise<void> {
  for (let layer = 0; layer < model.shape.layers; layer++) await attend(model.shape, cache, layer, 1)
}

async function attend({ queryHeads, kvHeads, headDim }: KvCache['shape'], cache: KvCache, layer: number, n: number): Promise<void> {
  const [q, k, v] = [queryHeads, kvHeads, kvHeads].map((heads) => randomNormal([heads, n, headDim]))
  const out = await cache.layer(layer).attend({ q, k, v })
  dispose([q, k, v, out as Tensor3D])
}

async function againstTfjs(loaded: Loaded, raw: KvCache, rows: number): Promise<BenchRow> {
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
    0.5,
    ROUNDS,
    () => step(loaded, raw),
    operations,
  )
  dispose([q, ...stored.flat()])
  return row
}
