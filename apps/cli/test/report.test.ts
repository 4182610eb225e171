import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CacheHistory } from '@kvfold/kv-core/history'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runIn } from './built-command.ts'

const QUESTION = 'What is the magic number of quiet harbor?'
const FACT = 'The magic number of quiet harbor is #4821375.'

describe('kvfold run --report --png', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvfold-report-'))
    const lines = Array.from({ length: 20 }, (_, i) => (i === 9 ? FACT : `The boat of day ${i} came late, and nobody was on the pier.`))
    writeFileSync(join(folder, 'log.txt'), `${lines.join(' ')}\n`)
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  const run = (...more: string[]): ReturnType<typeof runIn> => runIn(folder, 'run', '-c', 'log.txt', '-q', QUESTION, ...more)

  it('writes what the cache held at every step', () => {
    const policy = 'keydiff(budget=50%) + kivi(bits=4, residual=16)'
    const { code, out, error } = run('-p', policy, '--report', 'kept.html', '--png', 'kept.png', '--json')
    expect(error).toBe('')
    expect(code).toBe(0)
    const said = JSON.parse(out) as { answer: string; promptTokens: number; newTokens: number; kv: { rows: number } }
    expect(said.answer).toBe(FACT)
    const html = readFileSync(join(folder, 'kept.html'), 'utf8')
    const { history: json, pieces, documentTokens } = JSON.parse(/id="data">(.*?)<\/script>/s.exec(html)![1])
    const history = CacheHistory.from(json)
    expect(history.policy).toBe(policy)
    // After the document, after the question, after each token: the model ends with one more, which nobody reads.
    expect(history.frames.map((frame) => frame.tokens)).toEqual([
      documentTokens,
      ...Array.from({ length: said.newTokens + 1 }, (_, i) => said.promptTokens + i),
    ])
    const rows = (frame: number): number => history.states(frame).reduce((sum, own) => sum + own.filter((state) => state > 0).length, 0)
    expect(rows(history.frames.length - 1)).toBe(said.kv.rows)
    expect(rows(0)).toBe(Math.floor(documentTokens / 2) * history.heads)
    expect(pieces.join('')).toContain(FACT)
    expect(pieces.slice(said.promptTokens).join('').trim()).toBe(FACT)
    expect(html).toContain(FACT)

    const png = readFileSync(join(folder, 'kept.png'))
    expect([...png.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10])
    expect(png.readUInt32BE(16)).toBe(1440)
  })

  it('answers and costs the same without them', () => {
    const report = (...more: string[]) => JSON.parse(run('-p', 'h2o(budget=40)', '--json', ...more).out) as { answer: string; kv: object }
    const [plain, recorded] = [report(), report('--report', 'kept.html')]
    expect(recorded.answer).toBe(plain.answer)
    expect(recorded.kv).toEqual(plain.kv)
  })

  it('refuses a folder that is not there, before anything is read', () => {
    const { code, out, error } = run('--report', 'nowhere/kept.html')
    expect(code).not.toBe(0)
    expect(out).toBe('')
    expect(error).toContain('There is no folder "nowhere"')
  })
})
