import type { Kernels, Tensor } from '@kvfold/kernels'
import { NotFiniteError, ShapeError, UnsupportedPolicyError } from './errors.ts'
import type { AttendInput } from './layer-cache.ts'
import type { CacheShape } from './shape.ts'

/** The number of new tokens. Throws ShapeError, and UnsupportedPolicyError if scores of retaining heads are needed and not there. */
export function checkShapes(
  { q, k, v, retaining, outputs }: AttendInput,
  { queryHeads, kvHeads, headDim }: CacheShape,
  retains: boolean,
  policy: string,
): number {
  const n = k.shape[1]
  const check = (name: string, tensor: Tensor, heads: number): void => {
    const [a, b, c] = tensor.shape
    if (tensor.shape.length !== 3 || a !== heads || !(name === 'q' ? b >= 1 && b <= n : b === n) || c !== headDim || !(n >= 1))
      throw new ShapeError(
        `${name} has shape [${tensor.shape.join(', ')}]: it must be [${heads}, n, ${headDim}] with the same n >= 1 in q, k and v (fewer in q if only the last ones matter).`,
      )
    if (tensor.dtype !== 'float32') throw new ShapeError(`${name} is ${tensor.dtype}: cast it to float32.`)
  }
  check('q', q, queryHeads)
  check('k', k, kvHeads)
  check('v', v, kvHeads)
  if (!(outputs === undefined || (Number.isInteger(outputs) && outputs >= 1 && outputs <= q.shape[1])))
    throw new ShapeError(`${outputs} outputs are not among ${q.shape[1]} queries: give 1 to all of them.`)
  if (!retains) return n
  if (!retaining)
    throw new UnsupportedPolicyError(
      `${policy} needs the scores of trained retaining heads, and this model has none: use a model that comes with them.`,
    )
  const [heads, tokens] = retaining.shape
  if (retaining.shape.length !== 2 || heads !== kvHeads || tokens !== n || retaining.dtype !== 'float32')
    throw new ShapeError(`retaining has shape [${retaining.shape.join(', ')}]: it must be float32 [${kvHeads}, ${n}].`)
  return n
}

/** Throws NotFiniteError if a tensor (given by its address) holds NaN or infinity; `where` goes into the message. */
export function checkFinite(
  kernels: Kernels,
  { headDim, queryHeads, kvHeads }: CacheShape,
  { q, k, v }: { q: number; k: number; v: number },
  { n, m }: { n: number; m: number },
  where: string,
): void {
  for (const [name, address, rows] of [
    ['q', q, queryHeads * m],
    ['k', k, kvHeads * n],
    ['v', v, kvHeads * n],
  ] as const) {
    if (!kernels.isFinite(address, rows * headDim)) throw new NotFiniteError(`${name} of ${where} or after: the model before it is broken.`)
  }
}
