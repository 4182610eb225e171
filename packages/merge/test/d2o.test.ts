import { createRandom } from '@kvfold/kv-core'
import { d2o } from '@kvfold/merge'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apply, excess, headOf, leaving, partsOf, readGolden, seen, type Golden, type Rows } from './support.ts'

const flat = (rows: Rows): number[] => rows.flatMap((row) => Array.from(row))

describe('the worked example of merging', () => {
  const keys = [
    [1, 0],
    [0, 1],
    [2, 0.5],
    [0.2, 1],
    [1, -1],
  ]
  const values = [
    [2, 0],
    [0, 4],
    [4, 2],
    [2, 2],
    [9, 9],
  ]

  it.each([
    ['paper', [1.492536, 0.246268, 0.099029, 1], [2.985072, 0.985072, 0.990291, 3.009709]],
    ['code', [1.470143, 0.242536, 0.098058, 0.99029], [2.940285, 0.970143, 0.980581, 2.980581]],
  ] as const)('%s', (form, k, v) => {
    const state: Record<string, number> = {}
    const [plan] = d2o({ form }).fold!.fold([leaving(keys, [0, 1])], state)
    expect(state['tau']).toBeCloseTo(0.885943, 5)
    expect(Array.from(plan!.from)).not.toContain(4)
    expect(excess(flat(apply(keys, [0, 1], plan)), k, 0, 2e-6)).toBeLessThanOrEqual(0)
    expect(excess(flat(apply(values, [0, 1], plan)), v, 0, 2e-6)).toBeLessThanOrEqual(0)
  })

  it('weighs an exact duplicate alike and leaves the key as it was', () => {
    const [plan] = d2o().fold!.fold(
      [
        leaving(
          [
            [3, 4],
            [3, 4],
          ],
          [0],
        ),
      ],
      {},
    )
    expect(excess(plan!.weights, [0.5, 0.5], 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(
      excess(
        apply(
          [
            [3, 4],
            [3, 4],
          ],
          [0],
          plan,
        )[0],
        [3, 4],
        0,
        1e-5,
      ),
    ).toBeLessThanOrEqual(0)
  })

  it.each([
    // Similarities .98 and .82: the largest counts in the paper, their mean in the code.
    ['paper', 0.951783],
    ['code', 0.892972],
  ] as const)('moves the threshold: %s', (form, tau) => {
    const state = { tau: 0.885943 }
    const at = (u: number) => [u, Math.sqrt(1 - u * u)]
    d2o({ form }).fold!.fold([leaving([[1, 0], at(0.98), at(0.82)], [0])], state)
    expect(state.tau).toBeCloseTo(tau, 5)
  })
})

describe('layer budgets', () => {
  const allocate = (measures: readonly number[], held: number, rows: number, kvHeads = 1): number[][] =>
    partsOf(d2o()).budget!.allocate(
      measures.map((measure, layer) => ({ layer, rows: Array.from({ length: kvHeads }, () => held), measure, scores: [] })),
      { rows, layers: measures.length, kvHeads, seen: held },
    )

  it('the worked example', () => {
    // The card's ratios .263987 .195567 .144879 .195567 of 10^6 tokens.
    const own = allocate([0.2, 0.5, 0.8, 0.5], 1e6, 2e5).flat()
    expect(excess(own, [263987, 195567, 144879, 195567], 0, 1)).toBeLessThanOrEqual(0)
  })

  it('never exceeds the budget, leaves no layer without rows, keeps a prompt that fits', () => {
    const measure = fc.oneof(fc.double({ min: 0, max: 1 }), fc.constantFrom(NaN, Infinity))
    const size = fc.integer({ min: 1, max: 400 })
    fc.assert(
      fc.property(fc.array(measure, { minLength: 1, maxLength: 9 }), size, size, (measures, held, rows) => {
        const own = allocate(measures, held, rows, 2)
        expect(own.flat().reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(rows * measures.length * 2)
        expect(Math.min(...own.flat())).toBeGreaterThanOrEqual(1)
        if (held <= rows) expect(own.flat().every((count) => count === rows)).toBe(true)
      }),
    )
  })

  it('density: variance of column sums, scaled across the heads of the layer', () => {
    const measure = (...heads: Rows[]) =>
      partsOf(d2o()).budget!.measure!(heads.map((sums) => ({ seen: seen('prefill', sums), head: headOf(sums[0] as never) })))
    const [flatSums, peaked, between] = [
      [2, 2, 2],
      [6, 0, 0],
      [3, 3, 0],
    ]
    expect(measure([flatSums, peaked], [between, flatSums])).toBeCloseTo((0 + 1 + 3 / 12 + 0) / 4, 5)
    expect(measure([peaked])).toBe(0)
  })
})

describe('AIoT-MLSys-Lab/D2O', () => {
  const golden = readGolden('d2o')
  const rowsOf = (tensor: Golden, h: number): Float32Array[] => {
    const [, , rows, dim] = tensor.shape
    return Array.from({ length: rows }, (_, j) => tensor.data.subarray((h * rows + j) * dim, (h * rows + j + 1) * dim) as Float32Array)
  }
  const line = (name: string, h: number): number[] => {
    const width = golden[name].shape.at(-1)!
    return Array.from(golden[name].data.subarray(h * width, (h + 1) * width), (score) => (score === -1 ? Infinity : score))
  }

  it('evicts and merges, then once more with the next token', () => {
    const preset = d2o({ form: 'code', recent: 6 / 13 })
    const { score, select } = partsOf(preset)
    const state: Record<string, number> = {}
    let heads = Array.from({ length: 32 }, (_, h) => ({
      keys: rowsOf(golden['in.k'], h) as Rows,
      values: h < 4 ? (rowsOf(golden['in.v'], h) as Rows) : [],
      positions: Array.from({ length: 24 }, (_, i) => i),
      sums: new Float32Array(24),
    }))
    for (const call of [1, 2]) {
      if (call === 2) {
        heads = heads.map(({ keys, values, positions, sums }, h) => ({
          keys: [...keys, ...rowsOf(golden['in.k_new'], h)],
          values: h < 4 ? [...values, ...rowsOf(golden['in.v_new'], h)] : [],
          positions: [...positions, 24],
          sums: Float32Array.of(...sums, 0),
        }))
      }
      const leavings = heads.map(({ keys, positions, sums }, h) => {
        const given = { positions, columns: { accumulated: sums } }
        // The official function, too, adds what it is handed to the sums that it carries.
        const scores = score!.score(seen('prefill', [line(call === 1 ? 'in.scores' : 'in.scores2', h)]), headOf(keys, given))
        return leaving(keys, Array.from(select!.select(scores, 13, headOf(keys, given))), given)
      })
      const plans = preset.fold!.fold(leavings, state)
      expect(excess([state['tau']], golden[`threshold${call}`].data, 1e-4, 1e-4)).toBeLessThanOrEqual(0)
      heads = heads.map(({ keys, values, positions, sums }, h) => {
        const { kept } = leavings[h]
        if (call === 1) {
          expect(Array.from(kept)).toEqual([...line('heavy', h), 18, 19, 20, 21, 22, 23])
          const carried = Array.from(kept, (row) => (row < 4 ? Infinity : sums[row]))
          expect(carried).toEqual(line('hh_score1', h))
        }
        const next = { keys: apply(keys, kept, plans[h]), values: h < 4 ? apply(values, kept, plans[h]) : [] }
        if (h < 4) {
          const suffix = call === 1 ? '' : '2'
          expect(excess(flat(next.keys), flat(rowsOf(golden[`k_out${suffix}`], h)), 1e-4, 1e-4)).toBeLessThanOrEqual(0)
          expect(excess(flat(next.values), flat(rowsOf(golden[`v_out${suffix}`], h)), 1e-4, 1e-4)).toBeLessThanOrEqual(0)
        }
        return { ...next, positions: Array.from(kept, (row) => positions[row]), sums: Float32Array.from(kept, (row) => sums[row]) }
      })
      expect(plans.some((plan) => plan !== undefined)).toBe(true)
    }
  })
})

const layer = fc
  .record({
    heads: fc.integer({ min: 1, max: 3 }),
    rows: fc.integer({ min: 1, max: 50 }),
    stay: fc.integer({ min: 1, max: 50 }),
    seed: fc.nat(),
  })
  .map(({ heads, rows, stay, seed }) => {
    const random = createRandom(seed)
    const keys = Array.from({ length: heads }, () => Array.from({ length: rows }, () => Array.from({ length: 5 }, () => random() - 0.3)))
    const packed = Array.from({ length: rows }, (_, row) => row).filter(() => random() < 0.3)
    const kept = keys.map(() => {
      const order = Array.from({ length: rows }, (_, row) => row).sort(() => random() - 0.5)
      return order.slice(0, stay).sort((a, b) => a - b)
    })
    return keys.map((head, h) => ({ keys: head, kept: kept[h], packed }))
  })

describe('any layer', () => {
  it('folds rows that leave into rows that stay and are not packed; paper weights are convex', () => {
    fc.assert(
      fc.property(layer, fc.constantFrom('paper' as const, 'code' as const), (heads, form) => {
        const run = () =>
          d2o({ form }).fold!.fold(
            heads.map(({ keys, kept, packed }) => leaving(keys, kept, { packed })),
            {},
          )
        const plans = run()
        expect(run()).toEqual(plans)
        plans.forEach((plan, h) => {
          if (!plan) return
          const { keys, kept, packed } = heads[h]
          const sums = new Map<number, number>()
          plan.into.forEach((into, i) => {
            expect(kept.includes(into) && !packed.includes(into)).toBe(true)
            expect(plan.from[i] === into || !kept.includes(plan.from[i])).toBe(true)
            sums.set(into, (sums.get(into) ?? 0) + plan.weights[i])
          })
          const merged = Array.from(plan.from).filter((from, i) => from !== plan.into[i])
          expect(new Set(merged).size).toBe(merged.length)
          for (const into of sums.keys()) expect(Array.from(plan.from)).toContain(into)
          if (form === 'paper') for (const sum of sums.values()) expect(sum).toBeCloseTo(1, 5)
          expect(apply(keys, kept, plan)).toHaveLength(kept.length)
        })
      }),
    )
  })

  it('follows a permutation of heads', () => {
    fc.assert(
      fc.property(layer, (heads) => {
        const run = (order: typeof heads) =>
          d2o().fold!.fold(
            order.map(({ keys, kept, packed }) => leaving(keys, kept, { packed })),
            {},
          )
        // The threshold is a mean over all heads, in another order: away from it nothing may change.
        const [ours, turned] = [run(heads), run(heads.toReversed()).toReversed()]
        ours.forEach((plan, h) => expect(Math.abs((plan?.from.length ?? 0) - (turned[h]?.from.length ?? 0))).toBeLessThanOrEqual(2))
      }),
    )
  })

  it('finds the nearest key, whatever the number of blocks', () => {
    const random = createRandom(3)
    const keys = Array.from({ length: 150 }, () => Array.from({ length: 5 }, () => random() - 0.5))
    const kept = Array.from({ length: 97 }, (_, i) => i)
    const cosine = (a: number[], b: number[]) => a.reduce((sum, x, c) => sum + x * b[c], 0) / Math.hypot(...a) / Math.hypot(...b)
    const [plan] = d2o().fold!.fold([leaving(keys, kept)], { tau: -2 })
    plan!.from.forEach((from, i) => {
      if (from === plan!.into[i]) return
      const best = kept.reduce((a, b) => (cosine(keys[from], keys[b]) > cosine(keys[from], keys[a]) ? b : a))
      expect(plan!.into[i]).toBe(best)
    })
    expect(plan!.from.length).toBeGreaterThan(0)
  })
})

describe('which rows stay', () => {
  const rows = (n: number): Rows => Array.from({ length: n }, () => [1])

  it('keeps min(rows, budget) rows: sinks, heavy hitters and the newest', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.nat(), (n, budget, seed) => {
        const random = createRandom(seed)
        const { score, select } = partsOf(d2o())
        const scores = score!.score(
          seen('prefill', [Array.from({ length: n }, random), Array.from({ length: n }, random)]),
          headOf(rows(n)),
        )
        const kept = Array.from(select!.select(scores, budget, headOf(rows(n))))
        expect(kept).toHaveLength(Math.min(n, budget))
        expect(kept.every((row, i) => i === 0 || row > kept[i - 1])).toBe(true)
        for (let row = 0; row < Math.min(4, n, Math.floor(budget / 2)); row++) expect(kept).toContain(row)
        for (let row = Math.max(0, n - Math.round(budget / 2)); row < n; row++) expect(kept).toContain(row)
      }),
    )
  })

  it('adds each step to the sums, averaged over the group', () => {
    const columns = { accumulated: Float32Array.of(1, 2, 0) }
    const { score } = partsOf(d2o({ sinks: 1 }))
    const step = [
      [0.25, 0.5, 0.25],
      [0.75, 0, 0.25],
    ]
    expect(Array.from(score!.score(seen('decode', step), headOf(rows(3), { columns })))).toEqual([Infinity, 2.25, 0.25])
    expect(Array.from(columns.accumulated)).toEqual([1.5, 2.25, 0.25])
  })
})

describe('edges', () => {
  it('drops if nothing leaves, nothing may take a fold, or no key is near', () => {
    const state: Record<string, number> = {}
    const { fold } = d2o().fold!
    expect(
      fold(
        [
          leaving(
            [
              [1, 0],
              [0, 1],
            ],
            [0, 1],
          ),
        ],
        state,
      ),
    ).toEqual([undefined])
    expect(
      fold(
        [
          leaving(
            [
              [1, 0],
              [1, 0],
            ],
            [0],
            { packed: [0] },
          ),
        ],
        state,
      ),
    ).toEqual([undefined])
    expect(state).toEqual({})
    expect(
      fold(
        [
          leaving(
            [
              [1, 0],
              [1, 0],
            ],
            [0],
          ),
          leaving(
            [
              [1, 0],
              [-1, 0],
            ],
            [0],
          ),
        ],
        state,
      )[1],
    ).toBeUndefined()
  })

  it('takes zero keys and NaN', () => {
    const state: Record<string, number> = {}
    d2o().fold!.fold(
      [
        leaving(
          [
            [0, 0],
            [NaN, 1],
            [1, 0],
            [0, 0],
          ],
          [0, 2],
        ),
      ],
      state,
    )
    expect(state['tau']).toBeGreaterThanOrEqual(-1)
  })

  it('claims the budget only if given one', () => {
    expect(d2o().budget).toBeUndefined()
    expect(d2o().fallback?.budget?.size).toEqual({ ratio: 0.2 })
    expect(d2o({ budget: 64 }).budget?.size).toEqual({ tokens: 64 })
  })
})
