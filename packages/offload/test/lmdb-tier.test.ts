import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { TierError } from '@kvfold/kv-core'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lmdbTier } from '../src/index.ts'
import { testTier } from './test-tier.ts'

const parent = fs.mkdtempSync(path.join(os.tmpdir(), 'lmdb-tier-test-'))
const openFiles = (): string[] =>
  process.platform !== 'linux'
    ? []
    : fs
        .readdirSync('/proc/self/fd')
        .flatMap((fd) => {
          try {
            return [fs.readlinkSync(`/proc/self/fd/${fd}`)]
          } catch {
            return []
          }
        })
        .filter((file) => file.startsWith(parent))

afterAll(() => fs.rmSync(parent, { recursive: true }))

testTier('lmdb', {
  make: (options) => lmdbTier({ path: parent, ...options }),
  traces: () => [...fs.readdirSync(parent), ...openFiles()],
})

describe('lmdb', () => {
  let folder: string
  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(parent, 'own-'))
  })
  afterEach(() => fs.rmSync(folder, { recursive: true }))

  const dataFile = (): string => path.join(folder, fs.readdirSync(folder).filter((name) => name.startsWith('kvfold-'))[0], 'data.mdb')

  it('refuses a page with a single changed byte, wherever it is, and gives the others', async () => {
    for (const at of [0, 777, 4095]) {
      const tier = lmdbTier({ path: folder })
      tier.put(1, new Uint8Array(4096).fill(0xab))
      tier.put(2, new Uint8Array(64).fill(2))
      const file = fs.openSync(dataFile(), 'r+')
      const start = fs.readFileSync(dataFile()).indexOf(Buffer.alloc(4096, 0xab))
      expect(start).toBeGreaterThan(0)
      fs.writeSync(file, Buffer.from([0xaa]), 0, 1, start + at)
      fs.closeSync(file)
      const into = new Uint8Array(4096).fill(1)
      expect(() => tier.get(1, into)).toThrow(/damaged/)
      expect(into).toEqual(new Uint8Array(4096).fill(1))
      tier.get(2, new Uint8Array(64))
      await tier.close()
    }
  })

  it('reads and writes synchronously', async () => {
    const tier = lmdbTier({ path: folder })
    expect(tier.put(1, new Uint8Array(8))).toBeUndefined()
    expect(tier.get(1, new Uint8Array(8))).toBeUndefined()
    await tier.close()
  })

  it('leaves other files of its folder alone', async () => {
    fs.writeFileSync(path.join(folder, 'mine.txt'), 'mine')
    const tier = lmdbTier({ path: folder })
    tier.put(1, new Uint8Array(8))
    await tier.close()
    expect(fs.readdirSync(folder)).toEqual(['mine.txt'])
  })

  it('grows its map: 64 MiB', async () => {
    const tier = lmdbTier({ path: folder })
    const bytes = new Uint8Array(1 << 20)
    for (let key = 0; key < 64; key++) tier.put(key, bytes.fill(key))
    for (let key = 0; key < 64; key++) {
      tier.get(key, bytes)
      expect(bytes[key << 10]).toBe(key)
    }
    await tier.close()
  })

  it('says what is wrong with a folder that cannot be made', () => {
    fs.writeFileSync(path.join(folder, 'file'), '')
    expect(() => lmdbTier({ path: path.join(folder, 'file') })).toThrow(TierError)
    expect(() => lmdbTier({ path: path.join(folder, 'file', 'below') })).toThrow(/Cannot make a folder/)
  })

  it('removes its folder when the process exits without closing, and listens for that only while it is open', async () => {
    const before = process.listeners('exit')
    const tiers = Array.from({ length: 12 }, () => lmdbTier({ path: folder }))
    const added = process.listeners('exit').filter((listener) => !before.includes(listener))
    expect(added).toHaveLength(1)
    expect(fs.readdirSync(folder)).toHaveLength(12)
    added[0](0)
    expect(fs.readdirSync(folder)).toEqual([])
    for (const tier of tiers) await tier.close()
    expect(process.listeners('exit')).toEqual(before)
  })
})
