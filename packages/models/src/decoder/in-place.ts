import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'
import type { Borrowed, Kernels } from '@kvfold/kernels'

/** Where a tensor of the wasm backend lies, for kernels in its own memory. */
export function addressOf(kernels: Kernels, tensor: Tensor): number {
  return (kernels.borrow(tensor) as Borrowed).address
}

/** Calls `use` with a tensor's address: of a copy, if the kernels have another heap than the backend. */
export function reading(kernels: Kernels, tensor: Tensor, use: (address: number) => void): void {
  const { address, release } = kernels.borrow(tensor) as Borrowed
  try {
    use(address)
  } finally {
    release()
  }
}

/** A new tensor [rows, width] that `write` fills. */
export function written(kernels: Kernels, like: Tensor2D, rows: number, width: number, write: (address: number) => void): Tensor2D {
  const output = kernels.output(like, [rows, width])
  write(output.address)
  return output.finish() as Tensor2D
}
