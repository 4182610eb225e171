import { CacheFormatError, type PageCoding } from '@kvfold/kv-core'
import { ArithmeticDecoder, ArithmeticEncoder } from './arithmetic-coder.ts'
import { putSymbols, symbolKinds, takeSymbols } from './page-symbols.ts'
import { chooseTables, TableReader } from './table-bytes.ts'
import { putMinima, scalesAndMinima, zeroPoint } from './zero-point.ts'

/** The tables' length, and the code of zero. */
const START = 5

/**
 * CacheGen's lossless part (arXiv 2310.07240, as published in its code): codes of packed pages through an arithmetic coder, with a table of
 * probabilities for each layer, head and channel, of keys and of values, counted over what is coded and sent with it. For `KvCache.save` and
 * `KvCache.load`, under any policy: what the kernels read has codes, and so has a codec that names its fields; other bytes are
 * coded as bytes.
 *
 * Deviations, all for fewer bytes: one stream for the keys or values of a head, where there is one for each channel and 256 tokens with its
 * length; a table is sent as its counts, from the first to the last symbol that came, 1 or 2 bytes each; channels that are better off so
 * share one table, or have none and take their bits as they are; scales and minima are coded as well, their high and low bytes apart, and
 * minima that follow from scales are left out. What would not be smaller stays plain.
 */
export const cachegenCoding: PageCoding = {
  name: 'cachegen',
  encode(bytes, pages) {
    const groups = symbolKinds(pages)
    const halves = scalesAndMinima(pages, groups)
    const zero = halves ? zeroPoint(bytes, halves) : 0
    const tables: number[] = []
    const coder = new ArithmeticEncoder()
    for (const group of zero > 0 ? groups.slice(0, -2) : groups) {
      const symbols = group.map((kind) => {
        const own = new Uint8Array(kind.count)
        takeSymbols(bytes, kind, own)
        return own
      })
      chooseTables(symbols, group[0].bits, tables).forEach((table, i) => coder.encode(symbols[i], 0, symbols[i].length, table))
    }
    const coded = coder.finish()
    const out = new Uint8Array(START + tables.length + coded.length)
    if (out.length >= bytes.length) return undefined
    new DataView(out.buffer).setUint32(0, tables.length, true)
    out[4] = zero
    out.set(tables, START)
    out.set(coded, START + tables.length)
    return out
  },
  decode(coded, pages, into) {
    const fail = (what: string): never => {
      throw new CacheFormatError(`These bytes are not coded by CacheGen (${what}): save the cache again.`)
    }
    if (coded.length < START) fail(`${coded.length} of them`)
    const size = new DataView(coded.buffer, coded.byteOffset).getUint32(0, true)
    const zero = coded[4]
    if (size > coded.length - START) fail(`tables of ${size} bytes in ${coded.length}`)
    const groups = symbolKinds(pages)
    const halves = scalesAndMinima(pages, groups)
    if (zero > 0 && !halves) fail('it has no minima')
    const reader = new TableReader(coded.subarray(START, START + size), fail)
    const decoder = new ArithmeticDecoder(coded.subarray(START + size))
    into.fill(0)
    for (const group of zero > 0 ? groups.slice(0, -2) : groups) {
      const symbols = new Uint8Array(group[0].count)
      reader.tables(group).forEach((table, i) => {
        decoder.decode(symbols, 0, symbols.length, table)
        putSymbols(into, group[i], symbols)
      })
    }
    if (halves && zero > 0) putMinima(into, halves, zero)
    if (!reader.ended) fail('its tables go on')
    if (!decoder.ended) fail('its symbols end elsewhere')
  },
}
