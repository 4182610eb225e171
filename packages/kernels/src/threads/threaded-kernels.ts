import { engine } from '@tensorflow/tfjs-core'
import { KernelArgumentError, KernelUnavailableError } from '../errors.ts'
import type { WasmHeap } from '../heap.ts'
import { sharedHeap } from '../heap/own-heap.ts'
import { tfjsHeap } from '../heap/tfjs-heap.ts'
import { isShared } from '../heap/webassembly.ts'
import type { Kernels } from '../kernels.ts'
import { kernelsOf, SCRATCH } from '../wasm/kernels.ts'
import { instantiate } from '../wasm/module.ts'
import { bestBuild, type Build } from '../wasm/relaxed-simd.ts'
import { Pool } from './pool.ts'
import { partStates, splitCalls } from './split-calls.ts'

/** Kernels whose calls several threads share. */
export interface ThreadedKernels extends Kernels {
  readonly heap: WasmHeap
  /** Threads that work, the calling one among them. */
  readonly threads: number
  /** Ends the threads; later calls throw KernelThreadError. */
  dispose(): Promise<void>
}

/**
 * The wasm kernels with their larger calls split among threads: attention, its logits and column sums, products. Results do not depend on which
 * thread did what.
 *
 * They work in the memory of tfjs's wasm backend if that is active and shared (in a page that is cross-origin isolated), else in a shared one of
 * their own, and copy what tensors hold. `threads` counts the calling one; default: `defaultThreads()`. Throws KernelArgumentError,
 * KernelUnavailableError where threads cannot share memory: use `createKernels()` there.
 */
export async function threadedKernels(options: { threads?: number } = {}): Promise<ThreadedKernels> {
  return threadedOfBuild(bestBuild(), options)
}

/** The same of one build. Throws what threadedKernels does. */
export async function threadedOfBuild(build: Build, options: { threads?: number } = {}): Promise<ThreadedKernels> {
  const { threads = defaultThreads() } = options
  if (!Number.isInteger(threads) || threads < 1 || threads > 16)
    throw new KernelArgumentError(`threads is ${threads}: give a whole number from 1 to 16.`)
  const { crossOriginIsolated = true } = globalThis as { crossOriginIsolated?: boolean }
  if (typeof SharedArrayBuffer === 'undefined' || !crossOriginIsolated)
    throw new KernelUnavailableError('Threads share no memory here: a page must be cross-origin isolated. Use createKernels().')
  const heap = heapToShare()
  const wasm = instantiate(heap.memory, build)
  if (!wasm) throw new KernelUnavailableError('This machine runs no WebAssembly with SIMD. Use referenceKernels(heap).')
  const pool = await Pool.start(heap, build, wasm, threads)
  const scratch = pool.malloc(SCRATCH)
  const module = threads > 1 ? splitCalls(wasm, pool, pool.malloc(partStates(threads))) : wasm
  return { ...kernelsOf('wasm threads', build, heap, module, scratch), heap, threads, dispose: () => pool.dispose() }
}

function heapToShare(): WasmHeap {
  if (engine().backendName === 'wasm' && isShared(tfjsHeap().memory)) return tfjsHeap()
  return sharedHeap()
}

/** One for each core of the machine, but 4 at most: so many share the memory of most machines well. */
export function defaultThreads(): number {
  const { navigator, process } = globalThis as {
    navigator?: { hardwareConcurrency?: number }
    process?: { getBuiltinModule?(name: string): unknown }
  }
  const os = process?.getBuiltinModule?.('node:os') as { availableParallelism(): number } | undefined
  return Math.min(4, os?.availableParallelism() ?? navigator?.hardwareConcurrency ?? 1)
}
