import { crc32 as nodeCrc32 } from 'node:zlib'
import { createKernels, ownHeap, referenceKernels } from '@kvfold/kernels'
import {
  compose,
  crc32,
  createRandom,
  inspectCache,
  KvCache,
  type CacheShape,
  type PageCoding,
  type Policy,
  type Preset,
} from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, feed, FINGERPRINT, held, mutate, open, same, saved, seal, typed, watchedHeap } from './cache-files.ts'
import { relativeError } from './plain-attention.ts'
import { deflated } from './toy-coding.ts'
import { average, away, largest, mixed, opaque, packed, remembers } from './toy-methods.ts'

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 1e4 } }
const kernels = createKernels()

/** Everything that a toy policy can hold, by what it is made of. */
const POLICIES: (() => Preset[])[] = [
  () => [],
  () => [largest()],
  () => [packed()],
  () => [packed({ bits: 2, residual: 16 })],
  () => [opaque()],
  () => [mixed()],
  () => [largest({ budget: 30 }), average()],
  () => [largest({ budget: 50 }), average(), mixed()],
  () => [largest({ budget: 70 }), packed({ bits: 4 })],
  () => [remembers()],
  () => [remembers(), packed()],
  () => [away()],
  () => [largest({ budget: 100 }), packed(), away({ later: true })],
  () => [opaque(), away({ later: true })],
]

const load = (file: Uint8Array, policy: Policy, of: CacheShape = shape): Promise<KvCache> =>
  KvCache.load(file, { shape: of, policy, kernels, fingerprint: FINGERPRINT, codings: [deflated] })

describe('a saved cache', () => {
  it('comes back bit by bit, whatever it holds and whatever comes then', async () => {
    const before = kernels.heap.live
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          policy: fc.constantFrom(...POLICIES),
          layers: fc.integer({ min: 1, max: 3 }),
          kvHeads: fc.integer({ min: 1, max: 3 }),
          group: fc.integer({ min: 1, max: 2 }),
          headDim: fc.constantFrom(16, 32, 64),
          lengths: fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 150 })), { minLength: 0, maxLength: 5 }),
          steps: fc.integer({ min: 0, max: 9 }),
          forks: fc.boolean(),
          seed: fc.nat(),
        }),
        async ({ policy: presets, layers, kvHeads, group, headDim, lengths, steps, forks, seed }) => {
          const shape: CacheShape = { layers, kvHeads, queryHeads: kvHeads * group, headDim, rope: { theta: 1e4 } }
          const policy = compose(...presets())
          const random = createRandom(seed)
          const cache = new KvCache(shape, { policy, kernels })
          for (const n of [...lengths, ...Array.from({ length: steps }, () => 1)]) await feed(cache, draw(shape, n, random))
          const fork = forks ? cache.fork() : undefined
          if (fork) for (let i = 0; i < 3; i++) await feed(fork, draw(shape, 1, random))
          const one = fork ?? cache

          const { bytes: held0 } = one.ledger()
          const file = await saved(one)
          expect(one.ledger().bytes).toBe(held0)
          const loaded = await load(file, policy, shape)
          expect(held(loaded)).toEqual(held(one))
          expect(loaded.ledger().tiers).toEqual({})
          expect(loaded.length).toBe(one.length)
          // The same content is the same file, wherever its pages are.
          expect(same(await saved(loaded), file)).toBe(true)
          const again = await load(await saved(one, { coding: deflated }), policy, shape)
          expect(same(await saved(again), file)).toBe(true)
          await again.dispose()

          const far = policy.place !== undefined
          for (const n of [1, 1, 1, 20, 1, 1]) {
            const inputs = draw(shape, n, random)
            const a = await feed(one, inputs),
              b = await feed(loaded, inputs)
            // Rows that come from a tier are multiplied in another order than those in memory.
            if (!far) expect(a.every((data, i) => same(data, b[i]))).toBe(true)
            else a.forEach((data, i) => expect(relativeError(b[i], data)).toBeLessThan(2e-3))
          }
          if (!far && !forks) expect(held(loaded)).toEqual(held(one))
          for (const each of [loaded, cache, ...(fork ? [fork] : [])]) await each.dispose()
        },
      ),
      { numRuns: 60 },
    )
    expect(kernels.heap.live).toBe(before)
  })

  it('is what was there when the saving began, though the cache goes on', async () => {
    const policy = compose(largest({ budget: 40 }), packed())
    const random = createRandom(1)
    const cache = new KvCache(shape, { policy, kernels })
    await feed(cache, draw(shape, 100, random))
    const file = await saved(cache)
    const chunks: Uint8Array[] = []
    for await (const chunk of cache.save({ fingerprint: FINGERPRINT })) {
      chunks.push(chunk)
      await feed(cache, draw(shape, 7, random))
    }
    expect(Buffer.concat(chunks).equals(file)).toBe(true)
    await cache.dispose()
  })

  it('gives its memory back when the reader goes away early, and when the cache goes first', async () => {
    const policy = compose(away({ later: true }))
    const own = referenceKernels(ownHeap())
    for (const first of [true, false]) {
      const cache = new KvCache(shape, { policy, kernels: own })
      await feed(cache, draw(shape, 150, createRandom(2)))
      for await (const _ of cache.save({ fingerprint: FINGERPRINT })) {
        if (!first) await cache.dispose()
        break
      }
      if (first) await cache.dispose()
      expect(own.heap.live).toBe(0)
    }
  })

  it('reads tensor by tensor from a source, never more than one at a time', async () => {
    const cache = new KvCache(shape, { kernels })
    await feed(cache, draw(shape, 300, createRandom(3)))
    const file = await saved(cache)
    let most = 0
    const source = {
      name: 'x.kv',
      size: file.length,
      // As Node's file system gives them: `slice` of a Buffer copies nothing.
      read: async (start: number, end: number) => ((most = Math.max(most, end - start)), Buffer.from(file.subarray(start, end))),
    }
    const loaded = await KvCache.load(source, { shape, kernels, fingerprint: FINGERPRINT })
    expect(most).toBeLessThanOrEqual(300 * shape.headDim * 4)
    expect(same(await saved(loaded), file)).toBe(true)
    await expect(
      KvCache.load({ ...source, read: async () => new Uint8Array(3) }, { shape, kernels, fingerprint: FINGERPRINT }),
    ).rejects.toThrow(/x\.kv is not a sound KVFold cache \(3 of 8 bytes came at 0\)/)
    await loaded.dispose()
    await cache.dispose()
  })

  it('says what it holds', async () => {
    const cache = new KvCache(shape, { policy: compose(packed()), kernels })
    await feed(cache, draw(shape, 70, createRandom(4)))
    const file = await saved(cache, { info: { model: 'toy' } })
    const info = await inspectCache(file)
    const { payload, scales } = cache.ledger()
    expect(info).toMatchObject({ policy: 'packed', fingerprint: FINGERPRINT, info: { model: 'toy' }, tokens: 70, layers: 2, rows: 280 })
    expect(Object.values(info.parts).reduce((a, b) => a + b)).toBe(info.bytes)
    expect(info.bytes).toBe(file.length)
    expect(info.parts.packed + info.parts.raw).toBeLessThanOrEqual(payload + scales)
    // Its tensors follow each other, aligned for whatever reads them.
    const { header } = open(file)
    expect((file.length - open(file).data.length) % 8).toBe(0)
    expect(header['layer1.head0.segment0.keys.raw']).toMatchObject({ dtype: 'F32', shape: [6, 32] })
    expect(Object.values(header['__metadata__']).every((text) => typeof text === 'string')).toBe(true)
    await cache.dispose()
  })
})

/** A cache of rows that are all alike, so that any coding makes something of them. */
async function alike(policy: Policy = compose(packed()), tokens: number[] = [70]): Promise<KvCache> {
  const cache = new KvCache(shape, { policy, kernels })
  const inputs = draw(shape, 1, createRandom(11))
  for (const n of tokens) {
    const many = inputs.map((input) => {
      const repeated = Object.entries(input).map(([name, { shape: size, data }]) => {
        const width = size[2] ?? 1
        const rows = Float32Array.from({ length: data.length * n }, (_, i) => data[Math.floor(i / width / n) * width + (i % width)])
        return [name, { shape: [size[0], n, ...size.slice(2)], dtype: 'float32', data: rows }]
      })
      return Object.fromEntries(repeated) as typeof input
    })
    await feed(cache, many)
  }
  return cache
}

describe('a coded file', () => {
  it('is smaller, says so, and comes back bit by bit', async () => {
    const cache = await alike()
    const plain = await saved(cache),
      file = await saved(cache, { coding: deflated })
    const loaded = await load(file, cache.policy)
    expect(same(await saved(loaded), plain)).toBe(true)
    expect(same(await saved(loaded, { coding: deflated }), file)).toBe(true)
    expect(held(loaded)).toEqual(held(cache))

    const [before, info] = [await inspectCache(plain), await inspectCache(file)]
    expect(before.coding).toBeUndefined()
    expect(info.coding).toEqual({ name: 'deflated', bytes: info.parts.packed, plainBytes: before.parts.packed })
    expect(info.parts.packed).toBeLessThan(before.parts.packed)
    expect(info.parts).toMatchObject({ raw: before.parts.raw, columns: before.parts.columns })
    expect(Object.values(info.parts).reduce((a, b) => a + b)).toBe(file.length)
    // Still a safetensors file: its tensors follow each other, and those that are coded are bytes.
    const { header } = open(file)
    expect(header['layer1.head0.segment0.keys.coded']).toMatchObject({ dtype: 'U8', shape: [expect.any(Number)] })
    expect(header['layer1.head0.segment0.keys.raw']).toMatchObject({ dtype: 'F32', shape: [6, 32] })
    await loaded.dispose()
    await cache.dispose()
  })

  it('is what was there when the saving began, though the cache goes on', async () => {
    const cache = await alike(compose(packed()), [70, 1])
    const file = await saved(cache, { coding: deflated })
    const chunks: Uint8Array[] = []
    for await (const chunk of cache.save({ fingerprint: FINGERPRINT, coding: deflated })) {
      chunks.push(chunk)
      await feed(cache, draw(shape, 7, createRandom(12)))
    }
    expect(Buffer.concat(chunks).equals(file)).toBe(true)
    await cache.dispose()
  })

  it('is a plain one where its coding makes nothing smaller', async () => {
    const cache = await alike()
    const plain = await saved(cache)
    for (const encode of [() => undefined, (bytes: Uint8Array) => bytes.slice(), (bytes: Uint8Array) => new Uint8Array(bytes.length + 9)])
      expect(same(await saved(cache, { coding: { ...deflated, encode } }), plain)).toBe(true)
    await cache.dispose()
    const full = await alike(compose())
    expect(same(await saved(full, { coding: deflated }), await saved(full))).toBe(true)
    await full.dispose()
  })

  it('names its coding to a reader that lacks it, or has others', async () => {
    const cache = await alike()
    const file = await saved(cache, { coding: deflated })
    const before = kernels.heap.live
    const read = (codings?: PageCoding[]): Promise<KvCache> =>
      KvCache.load(file, { shape, policy: cache.policy, kernels, fingerprint: FINGERPRINT, codings })
    await expect(read()).rejects.toMatchObject({ code: 'MISSING_CODING', message: expect.stringMatching(/coding deflated.*`codings`/) })
    await expect(read([{ ...deflated, name: 'other' }])).rejects.toMatchObject({ message: expect.stringMatching(/other is at hand/) })
    expect(kernels.heap.live).toBe(before)
    await (await read([{ ...deflated, name: 'other' }, deflated])).dispose()
    await cache.dispose()
  })

  it('is refused whichever bit of which byte is wrong, and with right checksums if it cannot be decoded', async () => {
    const cache = await alike(compose(packed()), [60])
    const { policy } = cache
    const file = await saved(cache, { coding: deflated })
    await cache.dispose()
    const before = kernels.heap.live
    for (let at = 0; at < file.length; at += 7) {
      const damaged = file.slice()
      damaged[at] ^= 1 << (at % 8)
      await expect(load(damaged, policy), `byte ${at}`).rejects.toMatchObject({ code: 'CACHE_FORMAT' })
      await expect(inspectCache(damaged)).rejects.toMatchObject({ code: 'CACHE_FORMAT' })
    }
    const changed = (change: (opened: ReturnType<typeof open>) => void): Promise<KvCache> => {
      const opened = open(file)
      change(opened)
      return load(seal(opened), policy)
    }
    const values = 'layer0.head0.segment0.values.coded'
    await expect(changed(({ header, data }) => data.fill(255, ...header[values].data_offsets))).rejects.toMatchObject({
      code: 'CACHE_FORMAT',
      cause: expect.objectContaining({ code: 'Z_DATA_ERROR' }),
    })
    const coding = JSON.stringify({ name: 'deflated', bytes: 1e9 })
    await expect(changed(({ header }) => (header['__metadata__']['coding'] = coding))).rejects.toThrow(/1000000000 bytes are coded, of \d+/)
    await expect(changed(({ header }) => delete header['__metadata__']['coding'])).rejects.toThrow(/is layer0\.head0\.segment0\.\w+\.coded/)
    expect(kernels.heap.live).toBe(before)
  })

  it('needs all bytes of a codec among its fields', async () => {
    const { encode } = compose(opaque())
    const wrong = { ...encode!.classes[0].keys, fields: () => ({ row: [{ kind: 'halves', count: 3 } as const], shared: [] }) }
    const policy = { ...compose(opaque()), encode: { ...encode!, classes: [{ name: 'wrong', keys: wrong, values: wrong }] } }
    const cache = await alike(policy)
    await expect(saved(cache, { coding: deflated })).rejects.toMatchObject({
      code: 'SHAPE',
      message: expect.stringMatching(/6 and 0 bytes/),
    })
    await cache.dispose()
  })
})

describe('what cannot be saved', () => {
  it('is a cache in the middle of a prompt, between layers, or gone', async () => {
    const cache = new KvCache(shape, { kernels })
    const inputs = draw(shape, 20, createRandom(5))
    await feed(cache, inputs, true)
    await expect(saved(cache)).rejects.toMatchObject({ code: 'UNFINISHED_PROMPT', message: expect.stringContaining('more of its prompt') })
    await cache.layer(0).attend(inputs[0])
    await expect(saved(cache)).rejects.toMatchObject({ code: 'UNFINISHED_PROMPT' })
    await cache.layer(1).attend(inputs[1])
    await cache.layer(0).attend(inputs[0])
    await expect(saved(cache)).rejects.toMatchObject({ code: 'UNFINISHED_PROMPT', message: expect.stringContaining('some layers') })
    const running = cache.layer(1).attend(inputs[1])
    await expect(saved(cache)).rejects.toMatchObject({ code: 'UNFINISHED_PROMPT', message: expect.stringContaining('attending') })
    await running
    expect((await saved(cache)).length).toBeGreaterThan(0)
    await cache.dispose()
    await expect(saved(cache)).rejects.toMatchObject({ code: 'DISPOSED' })
  })
})

describe('a file that does not fit', () => {
  it('names both models, both shapes, both policies', async () => {
    const cache = new KvCache(shape, { policy: compose(packed()), kernels })
    await feed(cache, draw(shape, 40, createRandom(6)))
    const file = await saved(cache)
    await cache.dispose()
    const before = kernels.heap.live
    const policy = compose(packed())
    await expect(KvCache.load(file, { shape, policy, kernels, fingerprint: 'other' })).rejects.toMatchObject({
      code: 'FINGERPRINT_MISMATCH',
      message: expect.stringMatching(/toy-1.*other/),
    })
    for (const other of [
      { ...shape, layers: 3 },
      { ...shape, rope: 'external' },
      { ...shape, rope: { theta: 5e5 } },
    ] as CacheShape[])
      await expect(load(file, policy, other)).rejects.toMatchObject({
        code: 'FINGERPRINT_MISMATCH',
        message: expect.stringContaining(`"layers":${other.layers}`),
      })
    await expect(load(file, compose(packed({ bits: 4 })))).rejects.toMatchObject({
      code: 'POLICY_MISMATCH',
      message: expect.stringMatching(/policy packed, and this one is packed\(bits=4\)/),
    })
    expect(kernels.heap.live).toBe(before)
  })
})

interface Small {
  file: Uint8Array
  policy: Policy
  shape: CacheShape
}

/** A small cache of nearly everything: columns, a folder's state, raw and packed pages. */
async function smallFile(
  policy: Policy = compose(largest({ budget: 9 }), average(), packed({ bits: 2, residual: 4 })),
  own: Partial<CacheShape> = {},
): Promise<Small> {
  const shape: CacheShape = { layers: 1, queryHeads: 1, kvHeads: 1, headDim: 16, rope: { theta: 1e4 }, ...own }
  const cache = new KvCache(shape, { policy, kernels })
  for (const n of [20, 1, 1]) await feed(cache, draw(shape, n, createRandom(7)))
  const file = await saved(cache)
  await cache.dispose()
  return { file, policy, shape }
}

describe('a damaged file', () => {
  it('is refused whichever bit of which byte is wrong, and wherever it ends', async () => {
    const { file, policy, shape } = await smallFile()
    const before = kernels.heap.live
    for (let at = 0; at < file.length; at++) {
      // One bit in turn, and all of them.
      for (const flip of [1 << (at % 8), 255]) {
        const damaged = file.slice()
        damaged[at] ^= flip
        await expect(load(damaged, policy, shape), `byte ${at}`).rejects.toMatchObject({ code: 'CACHE_FORMAT' })
        await expect(inspectCache(damaged)).rejects.toMatchObject({ code: 'CACHE_FORMAT' })
      }
      await expect(load(file.subarray(0, at), policy, shape), `${at} bytes`).rejects.toMatchObject({ code: 'CACHE_FORMAT' })
    }
    await expect(load(Buffer.concat([file, Uint8Array.of(0)]), policy, shape)).rejects.toMatchObject({ code: 'CACHE_FORMAT' })
    expect(kernels.heap.live).toBe(before)
    await (await load(file, policy, shape)).dispose()
  })

  type Change = (opened: ReturnType<typeof open>, facts: (name: string, change: (value: any) => unknown) => void) => void
  const cases: [string, RegExp, Change][] = [
    ['another version', /version is 2/, ({ header }) => (header['__metadata__']['version'] = '2')],
    ['another format', /format is "x"/, ({ header }) => (header['__metadata__']['format'] = 'x')],
    ['no policy', /no text "policy"/, ({ header }) => delete header['__metadata__']['policy']],
    ['facts that are no JSON', /"heads" in its metadata is not JSON/, ({ header }) => (header['__metadata__']['heads'] = '[')],
    ['a negative count', /tokens in its metadata/, (_, facts) => facts('tokens', () => -1)],
    ['a count that is no number', /heads\.0\.0\.rows/, (_, facts) => facts('heads', ([[head]]) => [[{ ...head, rows: '9' }]])],
    ['more rows than tokens', /rows, of 3 tokens/, (_, facts) => facts('tokens', () => 3)],
    ['another layer', /other layers/, (_, facts) => facts('heads', ([heads]) => [heads, heads])],
    ['room for a billion', /with room for 1000000000/, (_, facts) => facts('heads', ([[head]]) => [[{ ...head, room: 1e9 }]])],
    [
      'a billion pages',
      /9 rows|keys and/,
      (_, facts) => facts('heads', (heads) => ((heads[0][0].segments[0].keys.packed[0][2] = 1e9), heads)),
    ],
    [
      'a billion rows everywhere',
      /tensor \d+ is/,
      (_, facts) => {
        facts('tokens', () => 2e9)
        facts('heads', (heads) => {
          const { keys, values } = heads[0][0].segments[0]
          for (const list of [keys, values]) Object.assign(list, { packed: [], raw: [[64, 64, 1e7]] })
          Object.assign(heads[0][0], { rows: 64e7, room: 64e7 })
          return heads
        })
      },
    ],
    [
      'pages with more room than rows',
      /mostly empty/,
      (_, facts) => facts('heads', (heads) => ((heads[0][0].segments[0].values.raw = Array.from({ length: 4 }, () => [1, 64, 1])), heads)),
    ],
    [
      'a page of 99 rows',
      /more than/,
      (_, facts) => facts('heads', (heads) => ((heads[0][0].segments[0].values.raw[0] = [99, 99, 1]), heads)),
    ],
    ['tables of a terabyte', /tables of/, (_, facts) => facts('heads', (heads) => ((heads[0][0].segments[0].values.table = 1e12), heads))],
    ['another class', /storage class 1/, (_, facts) => facts('heads', (heads) => ((heads[0][0].segments[0].storage = 1), heads))],
    [
      'another codec',
      /codecs are int4/,
      (_, facts) => facts('heads', (heads) => ((heads[0][0].segments[0].codecs[0] = 'int4/channel16'), heads)),
    ],
    ['another column', /columns are position, weight/, (_, facts) => facts('columns', () => ['position', 'weight'])],
    ['memory of a terabyte', /tensor \d+ is/, (_, facts) => facts('memory', () => [['x', 2 ** 40]])],
    ['steps of other layers', /planner has other layers/, (_, facts) => facts('planner', (planner) => ({ ...planner, steps: [1, 2] }))],
    ['budgets of other heads', /planner has other heads/, (_, facts) => facts('planner', (planner) => ({ ...planner, budgets: [[1, 2]] }))],
    ['tensors that overlap', /overlaps/, ({ header }) => (header['layer0.head0.segment0.keys.packed'].data_offsets[0] -= 4)],
    ['a tensor that leaves the file', /ends at byte/, ({ header }) => (header['checksums'].data_offsets[1] = 1e9)],
    ['a tensor of another size', /size of its shape/, ({ header }) => (header['checksums'].shape = [2 ** 50])],
    ['a tensor of another type', /has the type "F64"/, ({ header }) => (header['checksums'].dtype = 'F64')],
    [
      'a tensor more',
      /tensor \d+ is/,
      ({ header }) =>
        (header['more'] = {
          dtype: 'U8',
          shape: [0],
          data_offsets: [header['checksums'].data_offsets[1], header['checksums'].data_offsets[1]],
        }),
    ],
  ]
  it.each(cases)('%s is refused, though all its checksums are right', async (_, message, change) => {
    const { file, policy, shape } = await smallFile()
    const opened = open(file)
    change(opened, (name, of) => {
      opened.header['__metadata__'][name] = JSON.stringify(of(JSON.parse(opened.header['__metadata__'][name])))
    })
    const damaged = seal(opened)
    const before = kernels.heap.live
    await expect(load(damaged, policy, shape)).rejects.toMatchObject({ code: 'CACHE_FORMAT', message: expect.stringMatching(message) })
    expect(kernels.heap.live).toBe(before)
  })

  it('never crashes, hangs or takes more memory than its size allows, with checksums wrong or right', async () => {
    // 100,000 by hand: KVFOLD_FUZZ=100000.
    const count = Number(process.env['KVFOLD_FUZZ'] ?? 2000)
    const coded = await alike(compose(packed({ bits: 8, residual: 16 })), [40])
    const files = [
      { file: await saved(coded, { coding: deflated }), policy: coded.policy, shape },
      await smallFile(),
      await smallFile(compose(largest({ budget: 11 }), mixed()), { layers: 2 }),
      await smallFile(compose(remembers(), opaque()), { kvHeads: 2, queryHeads: 2 }),
    ]
    const heap = watchedHeap()
    const own = referenceKernels(heap)
    const random = createRandom(Number(process.env['KVFOLD_FUZZ_SEED'] ?? 8))
    let accepted = 0
    for (let run = 0; run < count; run++) {
      const { file, policy, shape } = files[run % files.length]
      const mutated = mutate(file, random)
      heap.most = 0
      const cache = await KvCache.load(mutated, { shape, policy, kernels: own, fingerprint: FINGERPRINT, codings: [deflated] }).catch(typed)
      // What is coded may be any times larger, but each of its rows has a position of 4 bytes. The last page of a list may have room for 64.
      const each = run % files.length === 0 ? shape.headDim : 1
      if (heap.most > 2 * each * mutated.length + shape.layers * shape.kvHeads * 4 * 64 * shape.headDim * 4)
        throw new Error(`run ${run}: ${heap.most} bytes for a file of ${mutated.length}`)
      if (cache) {
        accepted++
        // What was believed can be gone on with, and be saved again.
        await feed(cache, draw(shape, 1, random)).catch(typed)
        await saved(cache).catch(typed)
        await cache.dispose()
      }
      if (heap.live !== 0) throw new Error(`run ${run}: ${heap.live} bytes were left`)
    }
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(count)
  }, 3_600_000)
})

describe('crc32', () => {
  it("is Node's, in one go or in parts", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
        expect(crc32(bytes)).toBe(nodeCrc32(bytes))
        expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).toBe(nodeCrc32(bytes))
      }),
    )
  })
})
