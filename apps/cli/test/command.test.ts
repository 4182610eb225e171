import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modelUrl } from '@kvfold/reference-model'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { command, runIn } from './built-command.ts'

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvfold-command-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const kvfold = (...args: string[]): ReturnType<typeof runIn> => runIn(folder, ...args)

function json<T>(...args: string[]): T {
  const { code, out, error } = kvfold(...args, '--json')
  if (code !== 0) throw new Error(`exit code ${code}: ${error}`)
  return JSON.parse(out) as T
}

interface RunReport {
  answer: string
  promptTokens: number
  newTokens: number
  prefillMs: number
  ttftMs: number
  decodeMsPerToken: number
  kv: { bytes: number; peakBytes: number; fullF16Bytes: number; fullF32Bytes: number; rows: number; tiers: Record<string, number> }
  policy: string
}

const QUESTION = 'What is the magic number of quiet harbor?'
const document = (paragraphs: number): string =>
  Array.from(
    { length: paragraphs },
    (_, i) =>
      `The ship went on for day ${i + 1} without a sight of land, and the men were tired of it.${i === 3 ? ' The magic number of quiet harbor is #4821375.' : ''}`,
  ).join('\n\n')

it('says nothing when its reader has read enough', async () => {
  const child = spawn(process.execPath, [command, 'bench', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let error = ''
  child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  expect({ code, error }).toEqual({ code: 0, error: '' })
})

describe('kvfold run', () => {
  it('answers from the document, and accounts for the cache', () => {
    writeFileSync(join(folder, 'log.txt'), document(40))
    const full = json<RunReport>('run', '-c', 'log.txt', '-q', QUESTION)
    expect(full.answer).toContain('4821375')
    expect(full.kv.bytes).toBeGreaterThan(full.kv.fullF32Bytes)
    expect(full.kv.bytes).toBeLessThan(1.05 * full.kv.fullF32Bytes + 100_000)
    expect(full.kv.fullF16Bytes * 2).toBe(full.kv.fullF32Bytes)
    expect(full.kv.peakBytes).toBeGreaterThanOrEqual(full.kv.bytes)
    expect(full.policy).toBe('full')
    expect(full.ttftMs).toBeGreaterThanOrEqual(full.prefillMs)

    const small = json<RunReport>(
      'run',
      '-c',
      'log.txt',
      '-q',
      QUESTION,
      '-p',
      'snapkv(budget=128, window=16, kernel=7) + kivi(bits=4, residual=32) + disk(resident=32)',
      '--question-aware',
    )
    expect(small.answer).toContain('4821375')
    expect(small.kv.bytes).toBeLessThan(full.kv.bytes / 8)
    expect(small.kv.tiers['lmdb']).toBeGreaterThan(0)
    expect(small.promptTokens).toBe(full.promptTokens)
  })

  it('gives the same answer with threads, and ends them', () => {
    const [one, two] = ['1', '2'].map((threads) =>
      json<RunReport>('run', '-c', 'log.txt', '-q', QUESTION, '-p', 'kivi(bits=4)', '--threads', threads),
    )
    expect(two.answer).toBe(one.answer)
    expect(two.kv.bytes).toBe(one.kv.bytes)
    const { code, error } = kvfold('run', '-c', 'log.txt', '-q', QUESTION, '--threads', 'many')
    expect(code).toBe(2)
    expect(error).toMatch(/Give auto, or a whole number from 1 to 16/)
  })

  it('prints the answer and what it took', () => {
    const { code, out } = kvfold('run', '-c', 'log.txt', '-q', QUESTION, '-p', 'kivi(bits=4)')
    expect(code).toBe(0)
    expect(out).toMatch(/4821375/)
    expect(out).toMatch(/smaller than full float32/)
  })
})

describe('kvfold eval', () => {
  it('scores policies against the full cache', () => {
    const report = json<{ questionAware: boolean; seed: number; rows: Record<string, number | string>[] }>(
      'eval',
      '-t',
      'needle,perplexity',
      '-c',
      '600',
      '-s',
      '2',
      '-p',
      'snapkv(budget=1000); kivi(bits=8)',
    )
    expect(report.questionAware).toBe(false)
    expect(report.rows.map(({ task, policy }) => `${task} ${policy}`)).toEqual(
      ['needle', 'perplexity'].flatMap((task) => ['full', 'snapkv(budget=1000)', 'kivi(bits=8)'].map((policy) => `${task} ${policy}`)),
    )
    for (const row of report.rows) {
      for (const field of ['context', 'score', 'n', 'kvBytes', 'fullF16Bytes', 'kld', 'top1Agreement', 'prefillMs', 'decodeMsPerToken'])
        expect(row[field]).toEqual(expect.any(Number))
      if (row.task === 'needle') expect(row.score).toBe(1)
    }
    // A budget that is never reached changes nothing.
    for (const row of report.rows.filter(({ policy }) => policy === 'snapkv(budget=1000)')) {
      expect(row.kld).toBeLessThan(1e-6)
      expect(row.top1Agreement).toBe(1)
    }
  })
})

describe('kvfold methods', () => {
  it('lists what the registry has', () => {
    const methods = json<{ name: string; package: string; axes: string[]; params: { name: string }[] }[]>('methods')
    expect(methods.find(({ name }) => name === 'snapkv')).toMatchObject({
      package: '@kvfold/eviction',
      axes: expect.arrayContaining(['budget', 'score']),
    })
    expect(kvfold('methods', 'kivi').out).toContain('2402.02750')
  })
})

describe('bad input is one sentence and exit code 2, and nothing is written', () => {
  const cut = (): string => {
    const copy = mkdtempSync(join(folder, 'model-'))
    for (const name of readdirSync(modelUrl)) copyFileSync(new URL(name, modelUrl), join(copy, name))
    const weights = join(copy, 'model.safetensors')
    writeFileSync(weights, readFileSync(weights).subarray(0, 1_000_000))
    return copy
  }
  const cases: [string, () => string[], RegExp][] = [
    ['a missing file', () => ['run', '-c', 'nothing.txt', '-q', 'x'], /no file "nothing.txt"/],
    [
      'an empty file',
      () => {
        writeFileSync(join(folder, 'empty.txt'), ' \n')
        return ['run', '-c', 'empty.txt', '-q', 'x']
      },
      /is empty/,
    ],
    [
      'a file that is no text',
      () => {
        writeFileSync(join(folder, 'binary'), Uint8Array.of(0xff, 0xfe, 0xfd))
        return ['run', '-c', 'binary', '-q', 'x']
      },
      /not UTF-8/,
    ],
    ['a missing model', () => ['run', '-c', 'log.txt', '-q', 'x', '-m', './no-model'], /no '.\/no-model'/],
    ['a truncated model', () => ['run', '-c', 'log.txt', '-q', 'x', '-m', cut()], /model.safetensors/],
    ['an unknown method', () => ['run', '-c', 'log.txt', '-q', 'x', '-p', 'snapk(budget=9)'], /Did you mean "snapkv"/],
    ['an unknown parameter', () => ['eval', '-p', 'snapkv(windows=9)'], /no parameter "windows"/],
    ['a budget of nothing', () => ['run', '-c', 'log.txt', '-q', 'x', '-p', 'snapkv(budget=0)'], /budget of 0 tokens/i],
    ['methods that do not go together', () => ['eval', '-p', 'snapkv(budget=9) + h2o(budget=9)'], /snapkv and h2o both decide/],
    [
      'a text longer than the model knows',
      () => {
        writeFileSync(join(folder, 'long.txt'), document(800))
        return ['run', '-c', 'long.txt', '-q', 'x']
      },
      /knows \d+ positions/,
    ],
    ['a context longer than the model knows', () => ['eval', '-c', '100000'], /knows \d+ positions/],
    ['an unknown task', () => ['eval', '-t', 'nothing'], /no task "nothing"/],
    ['an unknown option', () => ['methods', '--fast'], /unknown option/],
    ['an unknown command', () => ['walk'], /unknown command/],
  ]
  it.each(cases)('%s', (_, args, message) => {
    const list = args()
    const before = readdirSync(folder)
    const { code, out, error } = kvfold(...list)
    expect(error).toMatch(message)
    expect(error.trim().split('\n').length).toBeLessThanOrEqual(2)
    expect(code).toBe(2)
    expect(out).toBe('')
    expect(readdirSync(folder)).toEqual(before)
  })
})
