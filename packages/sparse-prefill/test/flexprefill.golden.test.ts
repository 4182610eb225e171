import { describe, expect, it } from 'vitest'
import { flexprefill, flexPrefillBlocks, type HeadPattern } from '../src/index.ts'
import { covered, coveredIndices, lastBlockAttention, pool, rootJsDivergence, softmax } from '../src/pooling.ts'
import { golden, type GoldenCase } from '../../../tooling/golden.ts'
import type { StoredTensor } from '../../../tooling/safetensors.ts'
import { attention, pairsOf, prefillView } from './view.ts'

function expectClose(a: ArrayLike<number>, b: ArrayLike<number>, rtol: number, atol: number): void {
  expect(a.length).toBe(b.length)
  for (let i = 0; i < a.length; i++) {
    if (!(Math.abs(a[i] - b[i]) <= rtol * Math.abs(b[i]) + atol)) expect({ i, value: a[i] }).toEqual({ i, value: b[i] })
  }
}

/** One head of [1][tokens][heads][headDim]. */
function headOf({ shape, data }: StoredTensor, head: number): Float32Array {
  const [, tokens, heads, dim] = shape
  return Float32Array.from({ length: tokens * dim }, (_, i) => data[(Math.floor(i / dim) * heads + head) * dim + (i % dim)])
}

function check({ args, inputs, outputs }: GoldenCase, tensor: (name: string) => StoredTensor): void {
  const q = tensor(inputs['q'])
  const k = tensor(inputs['k'])
  const out = Object.fromEntries(Object.entries(outputs).map(([role, name]) => [role, tensor(name)]))
  const [, tokens, queryHeads, headDim] = q.shape
  const kvHeads = k.shape[2]
  const block = args['block_size'] as 16 | 32
  const count = Math.ceil(tokens / block)
  for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
    const heads = Array.from({ length: queryHeads }, (_, h) => h).filter(
      (h) => (args['gqa_interleave'] ? h % kvHeads : Math.floor(h / (queryHeads / kvHeads))) === kvHead,
    )
    const queries = Float32Array.from(heads.flatMap((h) => [...headOf(q, h)]))
    const view = prefillView(queries, headOf(k, kvHead), heads.length, headDim)
    const patterns: HeadPattern[] = []
    const options = flexprefill.params.parse({
      block,
      gamma: args['gamma'],
      tau: args['tau'],
      minBudget: (args['min_budget_blocks'] as number) * block,
      maxBudget: (args['max_budget_blocks'] as number) * block,
    })
    const list = flexPrefillBlocks(view, options, (pattern) => patterns.push(pattern))
    if (!list) throw new Error('dense')
    const pairs = pairsOf(list, heads.length)
    heads.forEach((h, g) => {
      expectClose([patterns[g].divergence], [out['js'].data[h]], 1e-5, 5e-6)
      expect(Number(patterns[g].queryAware)).toBe(out['pattern'].data[h])
      expect(patterns[g].coverVertical).toBe(out['cover_vertical'].data[h])
      expect(patterns[g].coverSlash).toBe(out['cover_slash'].data[h])
      const width = out['blocks'].shape[1]
      const expected = [...out['blocks'].data.subarray(h * width, (h + 1) * width)].filter((at) => at >= 0)
      expect(pairs[g].map(([r, c]) => r * count + c)).toEqual(expected)

      const last = view.lastLogits(block).subarray(g * block * tokens, (g + 1) * block * tokens)
      const { vertical, slash } = lastBlockAttention(last, block, tokens)
      expectClose(vertical, out['vertical'].data.subarray(h * tokens, (h + 1) * tokens), 1e-5, 1e-6)
      expectClose(slash, out['slash'].data.subarray(h * tokens, (h + 1) * tokens), 1e-5, 1e-6)
      expectClose(pool(vertical, block), out['vertical_blocks'].data.subarray(h * count, (h + 1) * count), 1e-5, 1e-6)
    })
    if (!out['attention_out']) continue
    const result = attention(view, headOf(tensor(inputs['v']), kvHead), list)
    heads.forEach((h, g) => {
      expectClose(result.subarray(g * tokens * headDim, (g + 1) * tokens * headDim), headOf(out['attention_out'], h), 1e-5, 2e-6)
    })
  }
}

for (const name of ['flexprefill', 'flexprefill_long']) {
  describe(`flexprefill, against the authors’ code (${name})`, () => {
    const { cases, tensor } = golden(new URL('data/', import.meta.url), name)
    for (const one of cases.filter(({ id }) => id !== 'helpers')) {
      it(`${one.id}: divergence, pattern, counts, blocks and attention`, () => check(one, tensor))
    }
  })
}

describe('flexprefill, helpers of the authors’ code', () => {
  const { cases, tensor } = golden(new URL('data/', import.meta.url), 'flexprefill')
  const { inputs, outputs } = cases.find(({ id }) => id === 'helpers') as GoldenCase
  const matrix = tensor(inputs['matrix']).data as Float32Array
  const rowOf = (head: number): Float64Array => Float64Array.from(matrix.subarray(head * 48, head * 48 + 12))
  const of = (role: string, head: number): Float64Array => {
    const { shape, data } = tensor(outputs[role])
    const size = shape.length === 3 ? shape[2] : 1
    return Float64Array.from(data.subarray(head * size, (head + 1) * size))
  }

  it.each([0, 1])('head %i', (head) => {
    expect([...of('cover', head)]).toHaveLength(1)
    const p = softmax(rowOf(head))
    expect(covered(p, 0.6)).toBe(of('cover', head)[0])
    const expected = [...of('cover_idx', head)]
    const chosen = [...coveredIndices(p, 0.6)]
    expect(chosen).toEqual(expected.slice(0, chosen.length).sort((a, b) => a - b))
    expect(expected.slice(chosen.length).every((index) => index === 0)).toBe(true)
    expectClose(pool(rowOf(head), 5), of('sumpool5', head), 1e-5, 1e-6)
    expect(rootJsDivergence(p, p)).toBe(0)
  })
})
