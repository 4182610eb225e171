import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runIn } from './built-command.ts'
import { writeWhole } from '../src/output-file.ts'

const QUESTION = 'What is the magic number of quiet harbor?'
const POLICY = 'keydiff(budget=50%) + kivi(bits=4, residual=32)'
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvfold-cache-'))
  const paragraphs = Array.from(
    { length: 20 },
    (_, i) =>
      `The ship went on for day ${i + 1} without a sight of land, and the men were tired of it.${i === 3 ? ' The magic number of quiet harbor is #4821375.' : ''}`,
  )
  writeFileSync(join(folder, 'log.txt'), paragraphs.join('\n\n'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const kvfold = (...args: string[]): ReturnType<typeof runIn> => runIn(folder, ...args)

function json<T = Record<string, any>>(...args: string[]): T {
  const { code, out, error } = kvfold(...args, '--json')
  if (code !== 0) throw new Error(`exit code ${code}: ${error}`)
  return JSON.parse(out) as T
}

describe('kvfold cache', () => {
  it('saves, shows and loads a cache, which answers as the run that read the document', () => {
    const run = json('run', '-c', 'log.txt', '-q', QUESTION, '-p', POLICY)
    expect(run['answer']).toContain('4821375')

    const saved = json('cache', 'save', 'log.kv', '-c', 'log.txt', '-p', POLICY)
    const file = readFileSync(join(folder, 'log.kv'))
    expect(saved).toMatchObject({ file: 'log.kv', model: 'reference', policy: POLICY, layers: 8, bytes: file.length })
    expect(readdirSync(folder).sort()).toEqual(['log.kv', 'log.txt'])

    const shown = json('cache', 'inspect', 'log.kv')
    expect(shown).toMatchObject({ model: 'reference', policy: POLICY, tokens: saved['tokens'], layers: 8, bytes: file.length })
    expect(Object.values(shown['parts'] as Record<string, number>).reduce((a, b) => a + b)).toBe(file.length)
    const text = kvfold('cache', 'inspect', 'log.kv')
    expect(text.out).toContain(POLICY)
    expect(text.out).toMatch(/packed +\d+ kB +\d+\.\d%/)

    const { prefillMs, ttftMs, decodeMsPerToken, kv, ...same } = run
    const loaded = json('cache', 'load', 'log.kv', '-q', QUESTION)
    expect(loaded).toMatchObject(same)
    const { peakBytes, ...held } = kv as Record<string, number>
    expect(loaded['kv']).toMatchObject(held)
    expect(loaded['kv'].peakBytes).toBeLessThan(peakBytes)
    expect(loaded['loadMs']).toBeGreaterThan(0)
    expect(loaded['ttftMs']).toBeGreaterThan(loaded['loadMs'])
    expect(Object.keys(loaded).sort()).toEqual([...Object.keys(run).filter((name) => name !== 'prefillMs'), 'loadMs'].sort())
    for (const number of [prefillMs, ttftMs, decodeMsPerToken]) expect(number).toBeGreaterThan(0)

    const printed = kvfold('cache', 'load', 'log.kv', '-q', QUESTION)
    expect(printed.out).toContain('4821375')
    expect(printed.out).toMatch(/tokens loaded in/)
  })

  it('codes what it saves, and needs not be told when it loads', () => {
    const args = ['-c', 'log.txt', '-p', 'cachegen(level=3)']
    const plain = json('cache', 'save', 'coded.kv', ...args)
    const before = json('cache', 'inspect', 'coded.kv')
    expect([plain['coding'], before['coding']]).toEqual([null, null])
    const asked = json('cache', 'load', 'coded.kv', '-q', QUESTION)
    const coded = json('cache', 'save', 'coded.kv', ...args, '--coding', 'cachegen')
    expect(coded).toMatchObject({ coding: 'cachegen', rows: plain['rows'] })
    expect(coded['bytes']).toBeLessThan(plain['bytes'] * 0.8)
    expect(json('cache', 'inspect', 'coded.kv')).toMatchObject({
      bytes: coded['bytes'],
      coding: { name: 'cachegen', plainBytes: before['parts'].packed },
      parts: { columns: before['parts'].columns },
    })
    expect(kvfold('cache', 'inspect', 'coded.kv').out).toMatch(/coding +cachegen: \d+ kB, and [\d.]+ MB without/)
    expect(json('cache', 'load', 'coded.kv', '-q', QUESTION)).toMatchObject({ answer: asked['answer'], policy: 'cachegen(level=3)' })
  })

  it('takes the best level that can be sent in time, or says that the text is sooner', () => {
    const fit = (...args: string[]): Record<string, any> => json('cache', 'save', 'fit.kv', '-c', 'log.txt', ...args)
    const ample = fit('--deadline', '60', '--bandwidth', '1000')
    expect(ample).toMatchObject({ level: 3, inTime: true, policy: 'cachegen(level=3)', coding: 'cachegen' })
    const sizes = (ample['levels'] as { level: number; bytes: number; seconds: number }[]).map(({ bytes }) => bytes)
    expect(sizes).toEqual([...sizes].sort((a, b) => a - b))
    expect(ample['levels'][0].seconds).toBeCloseTo((8 * sizes[0]) / 1e9, 9)
    expect(readFileSync(join(folder, 'fit.kv'))).toHaveLength(sizes[2])
    expect(json('cache', 'load', 'fit.kv', '-q', QUESTION)['answer']).toContain('4821375')

    // Between the second level and the third, in a policy that has its own rows.
    const [, second, third] = fit('-p', 'keydiff(budget=50%) + cachegen(delta=true)', '--deadline', '60', '--bandwidth', '1000')['levels']
    const bandwidth = String((8 * (second.bytes + third.bytes)) / 2 / 2e6)
    const middle = fit('-p', 'keydiff(budget=50%) + cachegen(delta=true)', '--deadline', '2', '--bandwidth', bandwidth)
    expect(middle).toMatchObject({
      level: 2,
      inTime: true,
      bytes: second.bytes,
      policy: 'keydiff(budget=50%) + cachegen(delta=true, level=2)',
    })

    rmSync(join(folder, 'fit.kv'))
    const late = fit('--deadline', '0.001', '--bandwidth', '900')
    expect(late).toMatchObject({ level: 1, inTime: false, bytes: sizes[0] })
    rmSync(join(folder, 'fit.kv'))
    expect(fit('--deadline', '1', '--bandwidth', '0.01')).toMatchObject({ level: null, inTime: false, file: null })
    expect(existsSync(join(folder, 'fit.kv'))).toBe(false)
    const printed = kvfold('cache', 'save', 'fit.kv', '-c', 'log.txt', '--deadline', '1', '--bandwidth', '0.01')
    expect(printed.out).toMatch(/levels +1: .* in .* s, 2: .*3: .*; the text and its reading/)
    expect(printed.out).toMatch(/none: .*the text is sooner than any/)
  })

  it('is a safetensors file for any other reader', () => {
    const file = readFileSync(join(folder, 'log.kv'))
    const length = Number(file.readBigUInt64LE(0))
    const { __metadata__: metadata, ...tensors } = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<string, any>
    expect(length % 8).toBe(0)
    for (const text of Object.values(metadata)) expect(text).toEqual(expect.any(String))
    const SIZES: Record<string, number> = { U8: 1, F32: 4, U32: 4 }
    let at = 0
    for (const { dtype, shape, data_offsets: offsets } of Object.values(tensors)) {
      const end = at + (shape as number[]).reduce((a, b) => a * b, SIZES[dtype as string])
      expect(offsets).toEqual([at, end])
      at = end
    }
    expect(8 + length + at).toBe(file.length)
    // Positions are the columns' first row: those that the policy kept.
    const { shape, data_offsets: offsets } = tensors['layer0.head0.columns'] as { shape: [number, number]; data_offsets: [number, number] }
    const positions = Array.from({ length: shape[1] }, (_, i) => file.readFloatLE(8 + length + offsets[0] + 4 * i))
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b))
    expect(positions.length).toBe(Math.floor(Number(metadata['tokens']) / 2))
  })

  const damage = (name: string, change: (file: Buffer) => Buffer): string => {
    writeFileSync(join(folder, name), change(readFileSync(join(folder, 'log.kv'))))
    return name
  }
  const cases: [string, () => string[], RegExp][] = [
    ['a missing file', () => ['cache', 'load', 'none.kv', '-q', 'x'], /none\.kv cannot be opened/],
    ['a file of something else', () => ['cache', 'inspect', 'log.txt'], /log\.txt is not a sound KVFold cache/],
    ['a truncated file', () => ['cache', 'inspect', damage('cut.kv', (file) => file.subarray(0, -5))], /cut\.kv .*ends at byte/],
    [
      'a damaged file, seen by inspect',
      () => [
        'cache',
        'inspect',
        damage('bad.kv', (file) => (file.writeUInt8(file.readUInt8(file.length - 9000) ^ 4, file.length - 9000), file)),
      ],
      /bad\.kv .*does not have its checksum/,
    ],
    ['a damaged file, loaded', () => ['cache', 'load', 'bad.kv', '-q', 'x'], /bad\.kv .*does not have its checksum/],
    [
      'another policy',
      () => ['cache', 'load', 'log.kv', '-q', 'x', '-p', 'full'],
      /saved under the policy keydiff\(budget=50%\).*this one is full/,
    ],
    ['a folder that is not there', () => ['cache', 'save', 'nowhere/x.kv', '-c', 'log.txt'], /no folder "nowhere"/],
    ['a folder as the file', () => (mkdirSync(join(folder, 'sub')), ['cache', 'save', 'sub', '-c', 'log.txt']), /"sub" is a folder/],
    ['an unknown coding', () => ['cache', 'save', 'x.kv', '-c', 'log.txt', '--coding', 'zip'], /Allowed choices are cachegen/],
    ['a deadline alone', () => ['cache', 'save', 'x.kv', '-c', 'log.txt', '--deadline', '1'], /give both --deadline and --bandwidth/],
    [
      'a level beside a deadline',
      () => ['cache', 'save', 'x.kv', '-c', 'log.txt', '-p', 'cachegen(level=1)', '--deadline', '1', '--bandwidth', '1'],
      /chooses the level itself/,
    ],
    [
      'a deadline for what is packed otherwise',
      () => ['cache', 'save', 'x.kv', '-c', 'log.txt', '-p', 'kivi', '--deadline', '1', '--bandwidth', '1'],
      /kivi and cachegen both decide/,
    ],
    [
      'a deadline for what is read otherwise',
      () => ['cache', 'save', 'x.kv', '-c', 'log.txt', '-p', 'flexprefill', '--deadline', '1', '--bandwidth', '1'],
      /changes how a document is read/,
    ],
    ['no question', () => ['cache', 'load', 'log.kv'], /required option/],
    ['an unknown subcommand', () => ['cache', 'walk'], /unknown command/],
  ]
  it.each(cases)('%s is one sentence and exit code 2, and nothing is written', (_, args, message) => {
    const list = args()
    const before = readdirSync(folder)
    const { code, out, error } = kvfold(...list)
    expect(error).toMatch(message)
    expect(error.trim().split('\n').length).toBeLessThanOrEqual(2)
    expect(code).toBe(2)
    expect(out).toBe('')
    expect(readdirSync(folder)).toEqual(before)
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })
})

describe('a file that is written as a whole', () => {
  const target = (): string => join(folder, 'whole')
  const read = (): string => readFileSync(target(), 'utf8')

  it('stays what it was until all of the new is there, also if that never comes', async () => {
    const before = readdirSync(folder)
    writeFileSync(target(), 'old')
    const part = Buffer.from('new')
    async function* chunks(fails: boolean): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 3; i++) {
        yield part
        // A program that dies now leaves this.
        expect(read()).toBe('old')
        expect(readdirSync(folder)).toHaveLength(before.length + 2)
      }
      if (fails) throw new Error('the cache is gone')
    }
    await expect(writeWhole(target(), chunks(true))).rejects.toThrow('the cache is gone')
    expect(read()).toBe('old')
    expect(readdirSync(folder).sort()).toEqual([...before, 'whole'].sort())
    expect(await writeWhole(target(), chunks(false))).toBe(9)
    expect(read()).toBe('newnewnew')
    expect(readdirSync(folder).sort()).toEqual([...before, 'whole'].sort())
    expect(process.listeners('exit').map(String).join()).not.toContain('rmSync(temporary')
  })

  it('is refused in one sentence where the disk refuses', async () => {
    async function* nothing(): AsyncGenerator<Uint8Array> {}
    await expect(writeWhole(join(folder, 'none', 'x'), nothing())).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('cannot be written (ENOENT)'),
    })
  })
})
