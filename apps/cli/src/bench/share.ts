import type { Kernels } from '@kvfold/kernels'
import { modelKernels } from '@kvfold/models'
import type { Loaded } from '../load.ts'
import { registry } from '../registry.ts'
import { benchRow, type BenchRow } from './compare.ts'
import { filled } from './filled.ts'

const STEPS = 25

/** A decode step of the model against the time that it spends in kernels. */
export async function benchShare(loaded: Loaded, rows: number): Promise<BenchRow> {
  const { model, kernels } = loaded
  const held = await filled(loaded, registry.policy('full'), rows)
  const stopwatches = [...new Set([kernels, modelKernels() ?? kernels])].map(watch)
  const whole: number[] = [],
    inside: number[] = []
  for (let i = -2; i < STEPS; i++) {
    const before = stopwatches.reduce((sum, one) => sum + one.spent(), 0)
    const start = performance.now()
    await model.forward([2], held.cache)
    const time = performance.now() - start
    if (i < 0) continue
    whole.push(time)
    inside.push(stopwatches.reduce((sum, one) => sum + one.spent(), 0) - before)
  }
  for (const one of stopwatches) one.stop()
  await held.dispose()
  return benchRow(`one decode step after ${rows.toLocaleString('en')} tokens against its time in kernels`, 1.25, whole, inside)
}

/** Adds up what all calls of these kernels take, until it is stopped. */
function watch(kernels: Kernels): { spent(): number; stop(): void } {
  const own = kernels as unknown as Record<string, unknown>
  const plain = { ...own }
  let spent = 0
  for (const [name, call] of Object.entries(plain)) {
    if (typeof call !== 'function' || name === 'borrow' || name === 'output') continue
    own[name] = (...args: unknown[]): unknown => {
      const start = performance.now()
      const result: unknown = call(...args)
      spent += performance.now() - start
      return result
    }
  }
  return { spent: () => spent, stop: () => void Object.assign(own, plain) }
}
