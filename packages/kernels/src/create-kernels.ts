import type { Kernels } from './kernels.ts'
import { referenceKernels } from './reference/kernels.ts'

/** The fastest kernels that this machine has. */
export async function createKernels(): Promise<Kernels> {
  return referenceKernels()
}
