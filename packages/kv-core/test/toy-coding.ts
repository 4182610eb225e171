import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { PageCoding } from '@kvfold/kv-core'

/** Whatever zip can do. */
export const deflated: PageCoding = {
  name: 'deflated',
  encode: (bytes) => new Uint8Array(deflateRawSync(bytes)),
  decode(coded, _, into) {
    const plain = inflateRawSync(coded, { maxOutputLength: into.length })
    if (plain.length !== into.length) throw new Error(`${plain.length} of ${into.length} bytes came out`)
    into.set(plain)
  },
}
