import { fieldBytes, type PageField, type PageRun } from '@kvfold/kv-core'

/** Symbols of one kind in some pages: a channel's codes, the low or the high bytes of halves. Each kind is coded with a table of its own. */
export interface SymbolKind {
  bits: 2 | 4 | 8
  /** How many there are. */
  count: number
  /** Where the first byte with one lies, in its row or in what a page shares, and how far they are apart there. */
  byte: number
  step: number
  /** Symbols of one row or page. */
  each: number
  shift: number
  at: Place
}

/** What repeats: the rows of one part of each page, or what the page shares. */
interface Place {
  /** Bytes of one. */
  width: number
  /** [pages] where the first lies, and how many there are. */
  starts: Float64Array
  counts: Uint32Array
}

/** The kinds of symbols of some pages, group by group: the kinds of a group are alike. */
export function symbolKinds({ rows, parts, shared }: PageRun): SymbolKind[][] {
  const repeating = [...parts.map((fields) => ({ fields, once: false })), { fields: shared, once: true }]
  const places = repeating.map(({ fields }): Place => ({
    width: fields.reduce((sum, field) => sum + fieldBytes(field), 0),
    starts: new Float64Array(rows.length),
    counts: new Uint32Array(rows.length),
  }))
  let at = 0
  for (const [page, count] of rows.entries()) {
    for (const [i, place] of places.entries()) {
      place.starts[page] = at
      place.counts[page] = repeating[i].once ? 1 : count
      at += place.counts[page] * place.width
    }
  }
  return repeating.flatMap(({ fields }, i) => {
    let byte = 0
    return fields.flatMap((field) => {
      const groups = kindsOf(field, byte, places[i])
      byte += fieldBytes(field)
      return groups
    })
  })
}

function kindsOf(field: PageField, byte: number, at: Place): SymbolKind[][] {
  const times = at.counts.reduce((sum, count) => sum + count, 0)
  if (field.kind === 'codes') {
    const { bits } = field
    const width = fieldBytes(field)
    return [
      Array.from({ length: field.count }, (_, channel) => ({
        bits,
        count: times,
        byte: byte + (channel % width),
        step: 1,
        each: 1,
        shift: Math.floor(channel / width) * bits,
        at,
      })),
    ]
  }
  const whole = { bits: 8, count: times * field.count, each: field.count, shift: 0, at } as const
  if (field.kind === 'bytes') return [[{ ...whole, byte, step: 1 }]]
  return [[{ ...whole, byte, step: 2 }], [{ ...whole, byte: byte + 1, step: 2 }]]
}

/** Reads the symbols of one kind, page by page, row by row. */
export function takeSymbols(bytes: Uint8Array, { bits, byte, step, each, shift, at }: SymbolKind, into: Uint8Array): void {
  const mask = (1 << bits) - 1
  let i = 0
  for (let page = 0; page < at.starts.length; page++) {
    let row = at.starts[page] + byte
    for (let left = at.counts[page]; left > 0; left--, row += at.width)
      for (let k = 0; k < each; k++) into[i++] = (bytes[row + k * step] >> shift) & mask
  }
}

/** Puts the symbols of one kind where `takeSymbols` found them. The bits must be zero. */
export function putSymbols(bytes: Uint8Array, { byte, step, each, shift, at }: SymbolKind, from: Uint8Array): void {
  let i = 0
  for (let page = 0; page < at.starts.length; page++) {
    let row = at.starts[page] + byte
    for (let left = at.counts[page]; left > 0; left--, row += at.width)
      for (let k = 0; k < each; k++) bytes[row + k * step] |= from[i++] << shift
  }
}
