import { createRandom } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ArithmeticDecoder, ArithmeticEncoder } from '../src/arithmetic-coder.ts'
import { codedBits, flatTable, symbolTable, type SymbolTable } from '../src/symbol-table.ts'

function coded(runs: readonly { symbols: Uint8Array; table: SymbolTable }[]): Uint8Array {
  const coder = new ArithmeticEncoder()
  for (const { symbols, table } of runs) coder.encode(symbols, 0, symbols.length, table)
  return coder.finish()
}

function decoded(
  bytes: Uint8Array,
  runs: readonly { symbols: Uint8Array; table: SymbolTable }[],
): { symbols: Uint8Array[]; ended: boolean } {
  const decoder = new ArithmeticDecoder(bytes)
  const symbols = runs.map(({ symbols: { length }, table }) => {
    const own = new Uint8Array(length)
    decoder.decode(own, 0, length, table)
    return own
  })
  return { symbols, ended: decoder.ended }
}

function countsOf(symbols: Uint8Array, alphabet: number): number[] {
  const counts = Array.from({ length: alphabet }, () => 0)
  for (const symbol of symbols) counts[symbol]++
  return counts
}

/** Bits that no code of single symbols can do without. */
function entropy(counts: readonly number[]): number {
  const total = counts.reduce((a, b) => a + b, 0)
  return counts.reduce((sum, count) => sum + (count > 0 ? count * Math.log2(total / count) : 0), 0)
}

describe('a table, by hand', () => {
  it('is the card’s: symbols 0, 1, 1, 3 of four', () => {
    const table = symbolTable([1, 2, 0, 1])
    // The last is 65,535 in 16 bits, and read as 65,536.
    expect([...table.cumulative]).toEqual([0, 16383, 49150, 49151, 65536])
    expect(codedBits([1, 2, 0, 1], table)).toBeCloseTo(6.0001, 4)
    expect(entropy([1, 2, 0, 1])).toBe(6)
    const runs = [{ symbols: Uint8Array.of(0, 1, 1, 3), table }]
    expect(coded(runs)).toHaveLength(1)
    expect([...decoded(coded(runs), runs).symbols[0]]).toEqual([0, 1, 1, 3])
  })

  it('has one part of 65,536 for a symbol that never came, and all of them for one that is alone', () => {
    const { cumulative } = symbolTable([70_000, 0, 0, 1])
    expect(cumulative[2] - cumulative[1]).toBe(1)
    expect(cumulative[4] - cumulative[3]).toBeGreaterThan(0)
    expect([...symbolTable([5], 9).cumulative]).toEqual([0, 65536])
    expect([...flatTable(2).cumulative]).toEqual([0, 16384, 32768, 49152, 65536])
  })
})

describe('the arithmetic coder', () => {
  it('takes one byte for any number of symbols that are all alike', () => {
    const runs = [{ symbols: new Uint8Array(10_000).fill(7), table: symbolTable([10_000], 7) }]
    expect(coded(runs)).toHaveLength(1)
    expect(decoded(coded(runs), runs)).toEqual({ symbols: [runs[0].symbols], ended: true })
  })

  it('loses nothing, whatever the symbols, the tables and their order, within 2 % of the entropy', () => {
    const run = fc.record({
      alphabet: fc.integer({ min: 1, max: 256 }),
      skew: fc.double({ min: 0.2, max: 12, noNaN: true }),
      length: fc.oneof(fc.constantFrom(0, 1, 255, 256, 257), fc.integer({ min: 1, max: 3000 })),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 6 }), (settings) => {
        const runs = settings.map(({ alphabet, skew, length, seed }) => {
          const random = createRandom(seed)
          const symbols = Uint8Array.from({ length }, () => Math.floor(alphabet * random() ** skew))
          return { symbols, table: symbolTable(countsOf(symbols, alphabet)), counts: countsOf(symbols, alphabet) }
        })
        const bytes = coded(runs)
        expect(decoded(bytes, runs)).toEqual({ symbols: runs.map(({ symbols }) => symbols), ended: true })
        const ideal = runs.reduce((sum, { counts }) => sum + entropy(counts), 0)
        expect(bytes.length * 8).toBeLessThanOrEqual(ideal * 1.02 + 16)
        // What the tables say is what it takes.
        const told = runs.reduce((sum, { counts, table }) => sum + codedBits(counts, table), 0)
        expect(Math.abs(bytes.length * 8 - told)).toBeLessThanOrEqual(told * 0.002 + 16)
      }),
      { numRuns: 200 },
    )
  })

  it('waits as long as the interval lies about its middle', () => {
    // The second symbol's share is one part at the middle: each time, fifteen bits or more wait.
    const table = symbolTable([1000, 0, 1000])
    for (const length of [1, 2, 3, 100, 5000]) {
      const runs = [
        { symbols: new Uint8Array(length).fill(1), table },
        { symbols: Uint8Array.of(0, 2, 1), table },
      ]
      expect(decoded(coded(runs), runs)).toEqual({ symbols: runs.map(({ symbols }) => symbols), ended: true })
    }
    const even = symbolTable([1, 1, 1])
    const runs = [{ symbols: new Uint8Array(3000).fill(1), table: even }]
    expect(decoded(coded(runs), runs)).toEqual({ symbols: [runs[0].symbols], ended: true })
  })

  it('codes the rest of a list, from and to anywhere', () => {
    const symbols = Uint8Array.from({ length: 50 }, (_, i) => i % 4)
    const coder = new ArithmeticEncoder()
    coder.encode(symbols, 10, 30, flatTable(2))
    coder.encode(symbols, 30, 45, flatTable(2))
    const out = new Uint8Array(50)
    new ArithmeticDecoder(coder.finish()).decode(out, 10, 45, flatTable(2))
    expect([...out.subarray(10, 45)]).toEqual([...symbols.subarray(10, 45)])
  })

  it('gives some symbols of the table for any bytes, and knows that they end elsewhere', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 40 }),
        (bytes, length, size) => {
          const table = symbolTable(
            Array.from({ length: size }, (_, i) => i * i),
            3,
          )
          const [symbols] = decoded(bytes, [{ symbols: new Uint8Array(length), table }]).symbols
          expect(symbols.every((symbol) => symbol >= 3 && symbol < 3 + size)).toBe(true)
        },
      ),
    )
    const runs = [{ symbols: Uint8Array.from({ length: 999 }, (_, i) => (i * i) % 7), table: flatTable(4) }]
    const bytes = coded(runs)
    for (const wrong of [bytes.subarray(0, -1), bytes.subarray(0, 3), new Uint8Array(0), Uint8Array.of(...bytes, 0)])
      expect(decoded(wrong, runs).ended).toBe(false)
  })
})
