import type { Codec } from '@kvfold/kv-core'

/** No bytes: for rows that are kept elsewhere. They come back as zeros. */
export const nothing: Codec = {
  name: 'nothing',
  layout: 'opaque',
  pageRows: () => 64,
  bytes: () => 0,
  encode: () => {},
  decode: (_, count, headDim, into) => {
    into.fill(0, 0, count * headDim)
  },
}
