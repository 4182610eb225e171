import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import { compose, createRandom, KvCache, type CacheShape, type Preset, type Random } from '@kvfold/kv-core'
import { cachegen, cachegenCoding, kivi } from '@kvfold/quant'

const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

/** What a page and Node exchange. */
export const POLICIES: Record<string, () => Preset[]> = {
  full: () => [],
  kivi: () => [kivi({ bits: 4, residual: 32 })],
  cachegen: () => [cachegen()],
  deltas: () => [cachegen({ delta: true })],
}

/** The file of a cache that has read something. Runs in Node and in a page, so bytes are numbers. */
export async function makeFile(policy: string, coded: boolean): Promise<number[]> {
  const cache = new KvCache(SHAPE, { policy: compose(...POLICIES[policy]()), kernels: createKernels() })
  const random = createRandom(1)
  for (const n of [200, 1, 1]) await feed(cache, n, random)
  const bytes: number[] = []
  for await (const chunk of cache.save({ fingerprint: 'toy', coding: coded ? cachegenCoding : undefined })) bytes.push(...chunk)
  await cache.dispose()
  return bytes
}

/** What comes out of a file's cache at the next steps. */
export async function nextOutputs(file: number[], policy: string): Promise<number[]> {
  const cache = await KvCache.load(Uint8Array.from(file), {
    shape: SHAPE,
    policy: compose(...POLICIES[policy]()),
    kernels: createKernels(),
    fingerprint: 'toy',
    codings: [cachegenCoding],
  })
  const random = createRandom(2)
  const outputs: number[] = []
  for (const n of [1, 20, 1]) outputs.push(...(await feed(cache, n, random)))
  await cache.dispose()
  return outputs
}

async function feed(cache: KvCache, n: number, random: Random): Promise<number[]> {
  const outputs: number[] = []
  const { layers, queryHeads, kvHeads, headDim } = SHAPE
  const tensor = (heads: number): ArrayTensor => ({
    shape: [heads, n, headDim],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * headDim }, () => 4 * random() - 2),
  })
  for (let layer = 0; layer < layers; layer++) {
    const input = { q: tensor(queryHeads), k: tensor(kvHeads), v: tensor(kvHeads) }
    outputs.push(...((await cache.layer(layer).attend(input)) as ArrayTensor).data)
  }
  return outputs
}

/** The kernels that caches run on here. */
export function kernelsName(): string {
  return createKernels().name
}
