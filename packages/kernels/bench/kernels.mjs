import '@tensorflow/tfjs-backend-wasm'
import { setBackend } from '@tensorflow/tfjs-core'
import { createKernels } from '@kvfold/kernels'
import { againstRaw, againstTfjs } from './decode.mjs'
import { benchMoves } from './moves.mjs'
import { benchPrefill } from './prefill.mjs'
import { benchThreads } from './threads.mjs'

/**
 * The kernels against tfjs's operations, packed rows against float32 ones, and two threads against one, in this process.
 * @returns {Promise<import('./compare.mjs').BenchRow[]>}
 */
export async function benchKernels() {
  await setBackend('wasm')
  const kernels = createKernels()
  return [
    await againstTfjs(kernels, 4096, 2),
    await againstTfjs(kernels, 4096, 3),
    await againstRaw(kernels, 8192, 16, 16, 'token', 1),
    await againstRaw(kernels, 8192, 16, 8, 'channel', 0.6),
    await againstRaw(kernels, 8192, 16, 4, 'channel', 0.5),
    await againstRaw(kernels, 8192, 16, 2, 'channel', 0.5),
    await againstRaw(kernels, 8192, 16, 8, 'token', 0.6),
    await againstRaw(kernels, 8192, 16, 4, 'token', 0.5),
    ...(await benchPrefill(kernels, 4096)),
    ...(await benchMoves(kernels, 4096)),
    ...(await benchThreads()),
  ]
}
