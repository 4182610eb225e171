/** How many parts of 65,536 each symbol has of an arithmetic coder's interval. */
export interface SymbolTable {
  /** The smallest symbol; those above it follow without gaps. */
  readonly first: number
  /** [symbols + 1], 0 to 65,536: symbol `first + i` has what lies between `cumulative[i]` and the next. */
  readonly cumulative: Uint32Array
  /** [256]: the symbol, less `first`, in whose share the first of each 256 parts lies. */
  readonly starts: Uint8Array
}

/**
 * CacheGen's table (arXiv 2310.07240, published code) of B symbols from their counts: cdf[i] = floor((65535 - B) * H_i / T) + i, with H_i the
 * numbers of T that are smaller than symbol i, and the last one 65,536. So even a symbol that never came has one part.
 */
export function symbolTable(counts: ArrayLike<number>, first = 0): SymbolTable {
  const symbols = counts.length
  let total = 0
  for (let i = 0; i < symbols; i++) total += counts[i]
  const cumulative = new Uint32Array(symbols + 1)
  for (let i = 0, before = 0; i < symbols; before += counts[i++])
    cumulative[i] = Math.floor(((65535 - symbols) * before) / Math.max(1, total)) + i
  cumulative[symbols] = 65536
  return withStarts(first, cumulative)
}

/** All symbols of so many bits alike: each takes just these. */
export function flatTable(bits: number): SymbolTable {
  const symbols = 1 << bits
  return withStarts(
    0,
    Uint32Array.from({ length: symbols + 1 }, (_, i) => (i * 65536) / symbols),
  )
}

function withStarts(first: number, cumulative: Uint32Array): SymbolTable {
  const starts = new Uint8Array(256)
  for (let part = 0, symbol = 0; part < 256; part++) {
    while (cumulative[symbol + 1] <= part * 256) symbol++
    starts[part] = symbol
  }
  return { first, cumulative, starts }
}

/** Bits that an arithmetic coder needs for so many of each symbol from `from` on. */
export function codedBits(counts: ArrayLike<number>, { first, cumulative }: SymbolTable, from: number = first): number {
  let bits = 0
  for (let i = 0, at = from - first; i < counts.length; i++, at++)
    if (counts[i] > 0) bits += counts[i] * (16 - Math.log2(cumulative[at + 1] - cumulative[at]))
  return bits
}
