import { failure } from './run.ts'
import { mode } from './setting.ts'

interface Gpu {
  requestAdapter(): Promise<object | null>
}

const { gpu } = navigator as { gpu?: Gpu }

/** Whether this browser knows WebGPU; a machine may have no adapter for it all the same. */
export const knowsWebgpu: boolean = gpu !== undefined

/** Goes on without WebGPU, and says why, where there is no adapter. Browsers log that, so it is asked only where WebGPU was chosen. */
export async function checkWebgpu(): Promise<void> {
  if (await gpu?.requestAdapter().catch(() => null)) return
  mode.value = 'browser'
  failure.value = 'This browser has no WebGPU adapter here: it runs without.'
}
