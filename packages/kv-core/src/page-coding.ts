import type { Codec } from './axes.ts'
import { ShapeError } from './errors.ts'
import { partsOf } from './page.ts'

/**
 * What some bytes of a row, or of what a page's rows share, mean.
 *
 * - `codes`: one of `bits` bits for each of `count` channels, planar as the kernels have them: count * bits / 8 bytes.
 * - `halves`: `count` numbers of 16 bits, little end first.
 * - `bytes`: `count` of anything.
 */
export type PageField =
  | { readonly kind: 'codes'; readonly count: number; readonly bits: 2 | 4 | 8 }
  | { readonly kind: 'halves' | 'bytes'; readonly count: number }

/** How the packed pages of a list follow each other in a file: in each page part by part, in each part row by row; then what they share. */
export interface PageRun {
  /** Rows of each page. */
  readonly rows: readonly number[]
  /** The fields of a row's bytes, in each part of a page. */
  readonly parts: readonly (readonly PageField[])[]
  /** The fields of what a page's rows share. */
  readonly shared: readonly PageField[]
}

/** A lossless coding of packed pages in a cache file. */
export interface PageCoding {
  /** As the file names it. */
  readonly name: string
  /** The pages in fewer bytes; undefined if these would not be fewer. */
  encode(bytes: Uint8Array, pages: PageRun): Uint8Array | undefined
  /**
   * Fills `into` with what `encode` was given. `coded` may be anything: throws an error unless it can be what `encode` returned, and takes
   * no more time and memory than `into` allows.
   */
  decode(coded: Uint8Array, pages: PageRun, into: Uint8Array): void
}

/** Bytes of a field. */
export function fieldBytes(field: PageField): number {
  if (field.kind === 'codes') return (field.count * field.bits) / 8
  return field.kind === 'halves' ? field.count * 2 : field.count
}

/** What the pages of a codec are made of, with so many rows each. Throws ShapeError if a codec's fields are not all of its bytes. */
export function pageRun(codec: Codec, headDim: number, rows: readonly number[]): PageRun {
  const { layout } = codec
  const { parts, shared } = partsOf(layout, codec, headDim)
  if (layout !== 'opaque' && layout.kind === 'raw16') return { rows, parts: [[{ kind: 'halves', count: headDim }]], shared: [] }
  if (layout === 'opaque' || layout.kind === 'raw32') {
    const plain = { row: bytesField(parts[0].width), shared: bytesField(shared) }
    const fields = codec.fields?.(headDim) ?? plain
    const sizes = [fields.row, fields.shared].map((list) => list.reduce((sum, field) => sum + fieldBytes(field), 0))
    if (sizes[0] !== parts[0].width || sizes[1] !== shared)
      throw new ShapeError(
        `The fields of ${codec.name} have ${sizes.join(' and ')} bytes, and its rows and pages ${parts[0].width} and ${shared}: name them all.`,
      )
    return { rows, parts: [fields.row], shared: fields.shared }
  }
  const codes: PageField = { kind: 'codes', count: headDim, bits: layout.bits }
  if (layout.axis === 'token') {
    const halves: PageField = { kind: 'halves', count: headDim / layout.group }
    return { rows, parts: [[codes], [halves], [halves]], shared: layout.factors ? [{ kind: 'halves', count: headDim }] : [] }
  }
  const halves: PageField = { kind: 'halves', count: headDim }
  return { rows, parts: [[codes]], shared: [halves, halves] }
}

function bytesField(count: number): PageField[] {
  return count > 0 ? [{ kind: 'bytes', count }] : []
}
