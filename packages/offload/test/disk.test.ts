import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { TierError, type PageView, type Placer } from '@kvfold/kv-core'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { disk } from '../src/index.ts'

const placer = (params?: Parameters<typeof disk>[0]): Placer => disk(params).place as Placer
const page = (newer: number): PageView => ({ layer: 0, head: 0, part: 'keys', rows: 64, bytes: 16384, newer })

describe('disk', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
    vi.unstubAllEnvs()
  })

  it('lets a page leave once `resident` newer rows are there', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(10_000), (resident, newer) => {
        expect(placer({ resident }).leaves(page(newer))).toBe(newer >= resident)
      }),
    )
    expect(placer().leaves(page(127))).toBe(false)
    expect(placer().leaves(page(128))).toBe(true)
  })

  it('is written as text', () => {
    expect(disk().text).toBe('disk')
    expect(disk({ path: '/data/kv', resident: 64 }).text).toBe('disk(path=/data/kv, resident=64)')
    expect(() => disk({ resident: -1 })).toThrow(/resident/)
    expect(() => disk({ path: '' })).toThrow(/path/)
  })

  it('opens a store in the given folder, or in one for temporary files, and takes it away', async () => {
    const folder = path.join(os.tmpdir(), `disk-test-${process.pid}-named`)
    const tier = placer({ path: folder }).open()
    await tier.put(1, new Uint8Array(8))
    expect(fs.readdirSync(folder)).toHaveLength(1)
    await tier.close()
    expect(fs.readdirSync(folder)).toEqual([])
    fs.rmdirSync(folder)

    const elsewhere = fs.mkdtempSync(path.join(os.tmpdir(), 'disk-test-'))
    vi.stubEnv('TMPDIR', elsewhere)
    const temporary = placer().open()
    expect(fs.readdirSync(elsewhere)).toHaveLength(1)
    await temporary.close()
    expect(fs.readdirSync(elsewhere)).toEqual([])
    fs.rmdirSync(elsewhere)
  })

  it('opens nothing until it is asked to, and nothing in a browser', () => {
    vi.stubGlobal('process', undefined)
    const place = placer()
    expect(() => place.open()).toThrow(TierError)
    expect(() => place.open()).toThrow(/needs Node/)
  })
})
