import type { Tier } from '@kvfold/kv-core'
import { TierError } from '@kvfold/kv-core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

export interface TierUnderTest {
  make: (options?: { maxBytes?: number }) => Tier
  /** Names whatever the tier leaves outside of it: files, folders, connections. Empty when all is closed. */
  traces?: () => string[]
}

const page = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255)

/** What every tier must do. Call it in the tier's test, then add what is special about it. */
export function testTier(name: string, { make, traces = () => [] }: TierUnderTest): void {
  describe(`${name}, as a tier`, () => {
    let tier: Tier
    beforeEach(() => {
      tier = make()
    })
    afterEach(async () => {
      await tier.close()
      expect(traces()).toEqual([])
    })
    const get = async (key: number, length: number): Promise<Uint8Array> => {
      const into = new Uint8Array(length)
      await tier.get(key, into)
      return into
    }

    it('gives back the bytes that it got', async () => {
      await tier.put(1, page(100, 1))
      await tier.put(2, page(16384, 2))
      expect(await get(1, 100)).toEqual(page(100, 1))
      expect(await get(2, 16384)).toEqual(page(16384, 2))
      expect(await get(1, 100)).toEqual(page(100, 1))
    })

    it('keeps a copy, and writes only into the target', async () => {
      const bytes = page(64, 3)
      await tier.put(1, bytes)
      bytes.fill(0)
      const around = new Uint8Array(96).fill(9)
      await tier.get(1, around.subarray(16, 80))
      expect(around.subarray(16, 80)).toEqual(page(64, 3))
      expect([...around.subarray(0, 16), ...around.subarray(80)]).toEqual(Array.from({ length: 32 }, () => 9))
    })

    it('overwrites, also with another length', async () => {
      for (const length of [64, 64, 1000, 8]) {
        await tier.put(7, page(length, length + 1))
        expect(await get(7, length)).toEqual(page(length, length + 1))
      }
    })

    it('refuses unknown, deleted and wrongly sized pages with a TierError, and writes nothing then', async () => {
      const into = new Uint8Array(8).fill(5)
      await expect(async () => tier.get(1, into)).rejects.toThrow(TierError)
      await tier.put(1, page(8, 1))
      await tier.delete(1)
      await expect(async () => tier.get(1, into)).rejects.toThrow(TierError)
      await tier.put(2, page(9, 1))
      await expect(async () => tier.get(2, into)).rejects.toThrow(TierError)
      expect(into).toEqual(new Uint8Array(8).fill(5))
    })

    it('deletes only what it is told to, and what is not there silently', async () => {
      await tier.put(1, page(8, 1))
      await tier.put(2, page(8, 2))
      await tier.delete(1)
      await tier.delete(1)
      await tier.delete(99)
      expect(await get(2, 8)).toEqual(page(8, 2))
    })

    it('takes empty and large pages, and large keys', async () => {
      await tier.put(0, new Uint8Array(0))
      await tier.put(Number.MAX_SAFE_INTEGER, page(4 << 20, 4))
      expect(await get(0, 0)).toEqual(new Uint8Array(0))
      // Not toEqual: it is slow on four million numbers.
      expect(Buffer.compare(await get(Number.MAX_SAFE_INTEGER, 4 << 20), page(4 << 20, 4))).toBe(0)
    })

    it('holds ten thousand pages', async () => {
      for (let key = 0; key < 10_000; key++) await tier.put(key, page(256, key))
      for (let key = 1; key < 10_000; key += 3) await tier.delete(key)
      const into = new Uint8Array(256)
      for (let key = 0; key < 10_000; key += 3) {
        await tier.get(key, into)
        expect(Buffer.compare(into, page(256, key))).toBe(0)
      }
      await expect(async () => tier.get(1, into)).rejects.toThrow(TierError)
    })

    it('does many things at once', async () => {
      await Promise.all(
        Array.from({ length: 200 }, async (_, key) => {
          await tier.put(key, page(500 + key, key))
          expect(await get(key, 500 + key)).toEqual(page(500 + key, key))
          if (key % 2) await tier.delete(key)
        }),
      )
      expect(await get(198, 698)).toEqual(page(698, 198))
      await expect(async () => tier.get(199, new Uint8Array(699))).rejects.toThrow(TierError)
    })

    it('keeps tiers apart', async () => {
      const other = make()
      await tier.put(1, page(32, 1))
      await other.put(1, page(32, 2))
      expect(await get(1, 32)).toEqual(page(32, 1))
      await other.close()
      expect(await get(1, 32)).toEqual(page(32, 1))
    })

    it('is of no use after close, which may be called twice', async () => {
      await tier.put(1, page(8, 1))
      await tier.close()
      await tier.close()
      await expect(async () => tier.get(1, new Uint8Array(8))).rejects.toThrow(TierError)
      await expect(async () => tier.put(1, new Uint8Array(8))).rejects.toThrow(TierError)
      await expect(async () => tier.delete(1)).rejects.toThrow(TierError)
      expect(traces()).toEqual([])
    })

    it('is full at its limit, keeps what it has, and has room again after a delete', async () => {
      const small = make({ maxBytes: 100 })
      await small.put(1, page(60, 1))
      await expect(async () => small.put(2, page(41, 2))).rejects.toThrow(/full/)
      await expect(async () => small.put(1, page(101, 2))).rejects.toThrow(TierError)
      const into = new Uint8Array(60)
      await small.get(1, into)
      expect(into).toEqual(page(60, 1))
      await small.put(1, page(40, 1))
      await small.put(2, page(60, 2))
      await small.delete(1)
      await small.put(3, page(40, 3))
      await small.close()
    })

    it('does what a Map does, in any order', async () => {
      const key = fc.integer({ min: 0, max: 12 })
      const action = fc.oneof(
        fc.record({ what: fc.constant('put' as const), key, bytes: fc.uint8Array({ maxLength: 3000 }) }),
        fc.record({ what: fc.constant('get' as const), key }),
        fc.record({ what: fc.constant('delete' as const), key }),
      )
      const run = async (actions: readonly (typeof action extends fc.Arbitrary<infer T> ? T : never)[]): Promise<void> => {
        const fresh = make()
        const model = new Map<number, Uint8Array>()
        for (const step of actions) {
          const known = model.get(step.key)
          if (step.what === 'put') {
            await fresh.put(step.key, step.bytes)
            model.set(step.key, step.bytes)
          } else if (step.what === 'delete') {
            await fresh.delete(step.key)
            model.delete(step.key)
          } else if (known) {
            const into = new Uint8Array(known.length)
            await fresh.get(step.key, into)
            expect(into).toEqual(known)
          } else await expect(async () => fresh.get(step.key, new Uint8Array(1))).rejects.toThrow(TierError)
        }
        await fresh.close()
      }
      await fc.assert(fc.asyncProperty(fc.array(action, { maxLength: 60 }), run), { numRuns: 40 })
    })
  })
}
