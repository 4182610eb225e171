import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import { setBackend, type Tensor, tensor } from '@tensorflow/tfjs-core'
import { createKernels, type Kernels, threadedKernels } from '@kvfold/kernels'
import { createRandom, KvCache, type CacheShape } from '@kvfold/kv-core'

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

/** Starts tfjs's wasm backend, and says whether its memory is shared: it is where tfjs has threads of its own. */
export async function start(): Promise<boolean> {
  setWasmPaths('/')
  await setBackend('wasm')
  const { heap } = createKernels()
  return !(heap.u8.buffer instanceof ArrayBuffer)
}

/** What caches of one thread and of two give for the same tokens, how many threads worked, and whether those read tensors in place. */
export async function outputs(): Promise<{ one: number[]; two: number[]; threads: number; inPlace: boolean }> {
  const threaded = await threadedKernels({ threads: 2 })
  const one = createKernels()
  const result = {
    one: await feed(one),
    two: await feed(threaded),
    threads: threaded.threads,
    inPlace: threaded.heap.memory === memoryOf(one),
  }
  await threaded.dispose()
  return result
}

function memoryOf({ heap }: Kernels): unknown {
  return (heap as { memory?: unknown }).memory
}

async function feed(kernels: Kernels): Promise<number[]> {
  const cache = new KvCache(SHAPE, { kernels })
  const random = createRandom(3)
  const numbers: number[] = []
  for (const n of [700, 1, 1]) {
    const { queryHeads, kvHeads, headDim } = SHAPE
    const [q, k, v] = [queryHeads, kvHeads, kvHeads].map((heads) =>
      tensor(
        Float32Array.from({ length: heads * n * headDim }, () => 4 * random() - 2),
        [heads, n, headDim],
      ),
    )
    const out = (await cache.layer(0).attend({ q, k, v })) as Tensor
    numbers.push(...(await out.data()).slice(-queryHeads * headDim))
    for (const one of [q, k, v, out]) one.dispose()
  }
  await cache.dispose()
  return numbers
}
