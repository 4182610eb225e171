import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compose, createRandom, KvCache, uniform, type CacheShape, type Scorer } from '@kvfold/kv-core'
import { createKernels } from '@kvfold/kernels'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runIn } from './built-command.ts'
import { registry } from '../src/registry.ts'
import { causalRows, type RetrievalProfile } from '../src/retrieval-profile.ts'

type Profile = RetrievalProfile & { model: string; block: number; seed: number }

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvfold-heads-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const heads = (...args: string[]): ReturnType<typeof runIn> => runIn(folder, 'heads', ...args)

describe('kvfold heads', () => {
  it('finds the heads of the reference model that repeat what followed, and writes them down', () => {
    const { code, out, error } = heads('--block', '48', '--json', '-o', 'heads.json')
    expect(error).toBe('')
    expect(code).toBe(0)
    const profile = JSON.parse(out) as Profile
    expect(JSON.parse(readFileSync(join(folder, 'heads.json'), 'utf8'))).toEqual(profile)
    expect(profile).toMatchObject({ model: 'reference', block: 48, seed: 1 })
    expect(profile.heads.map(({ layer, head }) => `${layer}.${head}`)).toEqual(
      Array.from({ length: 16 }, (_, i) => `${Math.floor(i / 2)}.${i % 2}`),
    )
    // Two of sixteen by induction (0.14), none by echo (0.01); random tokens are repeated by no accident.
    const chosen = profile.heads.filter(({ retrieval }) => retrieval)
    const others = profile.heads.filter(({ retrieval }) => !retrieval)
    expect(chosen).toHaveLength(2)
    for (const one of chosen) expect(one.induction).toBeGreaterThan(10 * Math.max(...others.map(({ induction }) => induction)))
    for (const { echo, induction } of profile.heads) expect(echo + induction).toBeLessThanOrEqual(1 + 1e-9)

    const names = chosen.map(({ layer, head }) => `${layer}.${head}`).join(' ')
    expect(profile.policy).toBe(`razorattention(heads="${names}")`)
    const { text, score, budget } = registry.policy(profile.policy)
    expect(text).toBe(profile.policy)
    expect(score).toBeDefined()
    // The heads are this model's: their budgets are not the others'.
    const total = { rows: 100, layers: 8, kvHeads: 2, seen: 10_000 }
    const stats = Array.from({ length: 8 }, (_, layer) => ({ layer, rows: [10_000, 10_000], measure: 0, scores: [] }))
    const allowed = budget!.allocate(stats, total)
    for (const { layer, head, retrieval } of profile.heads) expect(allowed[layer][head] === Infinity).toBe(retrieval)
  })

  it('prints a table and the policy; the shares say how many heads', () => {
    const { code, out } = heads('--block', '16', '--induction', '0.25', '--echo', '0')
    expect(code).toBe(0)
    expect(out.match(/ yes$/gm)).toHaveLength(4)
    expect(out.trimEnd().split('\n').at(-1)).toMatch(/^razorattention\(heads="\d\.\d \d\.\d \d\.\d \d\.\d"\)$/)
  })

  it.each([
    ['a block that does not fit four times over', ['--block', '2176'], /give at most 2175/],
    ['a folder that is not there', ['--block', '16', '-o', 'nowhere/heads.json'], /no folder "nowhere"/],
    ['a share above all', ['--induction', '1.5'], /from 0 to 1/],
  ])('%s is refused, and nothing is written', (_, args, message) => {
    const { code, out, error } = heads(...args)
    expect(error).toMatch(message)
    expect(code).toBe(2)
    expect(out).toBe('')
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })
})

describe('the attention that is looked at', () => {
  const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 8, rope: 'external' }
  const rows = 37

  it('is causal, a softmax over the first token too, and has lost its row and column', async () => {
    const random = createRandom(5)
    const tensor = (count: number): { shape: number[]; dtype: string; data: Float32Array } => ({
      shape: [count, rows, shape.headDim],
      dtype: 'float32',
      data: Float32Array.from({ length: count * rows * shape.headDim }, () => 4 * random() - 2),
    })
    const [q, k, v] = [tensor(4), tensor(2), tensor(2)]
    // More than two slices, unevenly spaced, the first and the last row among them.
    const places = Array.from({ length: rows - 1 }, (_, i) => i).filter((i) => i % 7 !== 3)
    const seen: { index: number; attention: number[] }[][] = []
    const score: Scorer = {
      needs: { queries: true, keys: true },
      score({ group, queries }, head) {
        for (let g = 0; g < group; g++) {
          const own = queries!.data.subarray(g * rows * head.headDim, (g + 1) * rows * head.headDim)
          seen.push(Array.from(causalRows(own, head, places), ({ index, attention }) => ({ index, attention: Array.from(attention) })))
        }
        return new Float32Array(head.rows)
      },
    }
    const policy = compose({ method: 'look', text: 'look', score, budget: uniform({ ratio: 1 }) })
    const cache = new KvCache(shape, { policy, kernels: createKernels() })
    await cache.layer(0).attend({ q, k, v })
    await cache.dispose()

    expect(seen).toHaveLength(4)
    for (const [h, own] of seen.entries()) {
      expect(own.map(({ index }) => index)).toEqual(places)
      for (const { index, attention } of own) {
        const expected = plain(q.data, k.data, h, index + 1).slice(1)
        expect(attention).toHaveLength(expected.length)
        for (const [j, weight] of attention.entries()) expect(Math.abs(weight - expected[j])).toBeLessThan(1e-5 * expected[j])
      }
    }
  })

  /** Row `i` of query head `h`'s causal attention, in float64, over rows 0 .. i. */
  function plain(q: Float32Array, k: Float32Array, h: number, i: number): number[] {
    const { headDim, queryHeads, kvHeads } = shape
    const kv = Math.floor((h * kvHeads) / queryHeads)
    const weights = Array.from({ length: i + 1 }, (_, j) => {
      let dot = 0
      for (let c = 0; c < headDim; c++) dot += q[(h * rows + i) * headDim + c] * k[(kv * rows + j) * headDim + c]
      return Math.exp(dot / Math.sqrt(headDim))
    })
    const sum = weights.reduce((a, b) => a + b)
    return weights.map((weight) => weight / sum)
  }
})
