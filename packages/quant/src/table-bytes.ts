import type { SymbolKind } from './page-symbols.ts'
import { codedBits, flatTable, symbolTable, type SymbolTable } from './symbol-table.ts'

/** How a kind of symbols is coded: each takes its bits, by a table of its own, by the one that its group shares. */
const FLAT = 0,
  OWN = 1,
  SHARED = 2

/** The symbols from `first` on, with how many there are of each: neither the first nor the last has none. */
interface Counts {
  first: number
  counts: Uint32Array
}

/**
 * The tables with which a group of kinds takes the fewest bytes, those of the tables included. Appends to `out` what a reader needs to make
 * them: for the group 1 and a table that some kinds share, or 0; for each kind FLAT, OWN and its table, or SHARED.
 */
export function chooseTables(group: readonly Uint8Array[], bits: number, out: number[]): SymbolTable[] {
  const flat = flatTable(bits)
  const kinds = group.map((symbols) => {
    const own = countsOf([symbols])
    const table = symbolTable(own.counts, own.first)
    return { own, table, ownBits: 8 * tableBytes(own).length + codedBits(own.counts, table), flatBits: symbols.length * bits }
  })
  const all = group.length > 1 ? countsOf(group) : undefined
  const shared = all && symbolTable(all.counts, all.first)
  const sharedBits = kinds.map(({ own }) => (shared ? codedBits(own.counts, shared, own.first) : Infinity))
  const saved = kinds.reduce((sum, { ownBits, flatBits }, i) => sum + Math.max(0, Math.min(ownBits, flatBits) - sharedBits[i]), 0)
  const sharing = all && saved > 8 * tableBytes(all).length
  if (sharing) out.push(1, ...tableBytes(all))
  else out.push(0)
  return kinds.map(({ own, table, ownBits, flatBits }, i) => {
    if (sharing && sharedBits[i] < Math.min(ownBits, flatBits)) return (out.push(SHARED), shared!)
    if (ownBits >= flatBits) return (out.push(FLAT), flat)
    out.push(OWN, ...tableBytes(own))
    return table
  })
}

function countsOf(group: readonly Uint8Array[]): Counts {
  const counts = new Uint32Array(256)
  for (const symbols of group) for (let i = 0; i < symbols.length; i++) counts[symbols[i]]++
  const first = Math.max(
    0,
    counts.findIndex((count) => count > 0),
  )
  const last = Math.max(
    0,
    counts.findLastIndex((count) => count > 0),
  )
  return { first, counts: counts.slice(first, last + 1) }
}

/** The first and the last symbol, and the counts of all but the last, seven bits a byte, the low ones first. */
function tableBytes({ first, counts }: Counts): number[] {
  const bytes = [first, first + counts.length - 1]
  for (let left of counts.subarray(0, -1)) {
    for (; left > 127; left = Math.floor(left / 128)) bytes.push((left & 127) | 128)
    bytes.push(left)
  }
  return bytes
}

/** Reads what `chooseTables` appended, group by group. `fail` throws. */
export class TableReader {
  private at = 0
  private readonly bytes: Uint8Array
  private readonly fail: (what: string) => never

  constructor(bytes: Uint8Array, fail: (what: string) => never) {
    this.bytes = bytes
    this.fail = fail
  }

  tables(group: readonly SymbolKind[]): SymbolTable[] {
    const { bits, count } = group[0]
    const shared = this.byte() > 0 ? this.table(bits, count * group.length) : undefined
    return group.map(() => {
      const how = this.byte()
      if (how === FLAT) return flatTable(bits)
      if (how === OWN) return this.table(bits, count)
      return how === SHARED && shared ? shared : this.fail('a table that it does not have')
    })
  }

  get ended(): boolean {
    return this.at === this.bytes.length
  }

  private table(bits: number, total: number): SymbolTable {
    const first = this.byte(),
      last = this.byte()
    if (last < first || last >= 1 << bits) this.fail(`symbols from ${first} to ${last}, of ${bits} bits`)
    const counts = new Uint32Array(last - first + 1)
    let left = total
    for (let i = 0; i < last - first; i++) {
      counts[i] = this.number(left)
      left -= counts[i]
    }
    counts[last - first] = left
    return symbolTable(counts, first)
  }

  private number(most: number): number {
    let value = 0,
      unit = 1
    for (let more = true; more; unit *= 128) {
      const byte = this.byte()
      value += (byte & 127) * unit
      if (value > most || unit > 2 ** 32) this.fail('a table of more symbols than there are')
      more = byte > 127
    }
    return value
  }

  private byte(): number {
    return this.at < this.bytes.length ? this.bytes[this.at++] : this.fail('its tables end early')
  }
}
