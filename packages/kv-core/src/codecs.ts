import { layoutBytes, type Layout } from '@kvfold/kernels'
import type { Codec } from './axes.ts'
import { ShapeError } from './errors.ts'

/** Rows of a page, where the codec does not want fewer. */
export const PAGE_ROWS = 64

/** Float32, as the model gave them. */
export const raw32: Codec = kernelCodec('raw32', { kind: 'raw32' }, () => PAGE_ROWS)

/** Float16, rounded to the nearest; what is too large becomes the largest of its sign, 65504. */
export const raw16: Codec = kernelCodec('raw16', { kind: 'raw16' }, () => PAGE_ROWS)

/**
 * Affine integers with float16 scale and minimum per group: x = code * scale + minimum.
 * `channel`: `group` consecutive tokens of one channel share them (a page is one group, at most 64 tokens);
 * `token`: `group` consecutive channels of one token do (a divisor of headDim). With `factors`, each channel is divided first by sqrt(max |x|) over
 * a page's rows, which these share: large channels then take less of a group's range.
 */
export function affine(options: { bits: 2 | 4 | 8; axis: 'channel' | 'token'; group: number; factors?: boolean }): Codec {
  const { bits, axis, group, factors = false } = options
  if (axis === 'channel' && factors)
    throw new ShapeError('A page has scales or factors of channels: leave out factors, or take the axis token.')
  if (axis === 'channel' && !(group >= 1 && group <= PAGE_ROWS))
    throw new ShapeError(`A group of ${group} tokens does not fit a page: give 1 to ${PAGE_ROWS}.`)
  return kernelCodec(
    `int${bits}/${axis}${group}${factors ? '/factors' : ''}`,
    { kind: 'affine', bits, axis, group, ...(factors && { factors }) },
    (headDim) => {
      if (axis === 'token' && headDim % group !== 0)
        throw new ShapeError(`Groups of ${group} channels do not divide a head of ${headDim}: give a divisor.`)
      if (headDim % 16 !== 0) throw new ShapeError(`A head of ${headDim} channels cannot be packed: it must be a multiple of 16.`)
      return axis === 'channel' ? group : PAGE_ROWS
    },
  )
}

function kernelCodec(name: string, layout: Layout, pageRows: (headDim: number) => number): Codec {
  return { name, layout, pageRows, bytes: (rows, headDim) => layoutBytes(layout, headDim, rows) }
}
