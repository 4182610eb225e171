import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { calibrationText, parseCalibration } from '@kvfold/models'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runIn } from './built-command.ts'

const heldOut = fileURLToPath(new URL('../../../packages/eval/data/heldout.txt', import.meta.url))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvfold-calibrate-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const calibrate = (...args: string[]): ReturnType<typeof runIn> => runIn(folder, 'calibrate', ...args)

describe('kvfold calibrate', () => {
  it('writes a file that a model is loaded with', () => {
    const { code, out, error } = calibrate('--text', heldOut, '--texts', '2', '--tokens', '300', '--out', 'mine.json', '--json')
    expect(error).toBe('')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toEqual({ file: 'mine.json', tokens: 600, layers: 8 })
    const text = readFileSync(join(folder, 'mine.json'), 'utf8')
    const layers = parseCalibration(JSON.parse(text), 8, 128, 'mine.json')
    expect(calibrationText(layers, 600)).toBe(text)
    for (const { keyLow, keyHigh, keyLevels, valueLevels } of layers) {
      keyLow.forEach((low, c) => expect(low).toBeLessThan(keyHigh[c]))
      for (const levels of [keyLevels, valueLevels])
        for (const bits of [2, 3, 4] as const) {
          const { choose } = levels[bits]
          expect([...choose]).toEqual([...choose].sort((a, b) => a - b))
          expect(choose[0]).toBeGreaterThanOrEqual(-1)
          expect(choose.at(-1)).toBeLessThanOrEqual(1)
        }
    }
  })

  it.each([
    [['--text', 'none.txt', '--out', 'x.json'], /no file "none.txt"/],
    [['--text', 'short.txt', '--out', 'x.json'], /fewer than one piece/],
    [['--text', heldOut, '--tokens', '100000', '--out', 'x.json'], /give fewer/],
    [['--text', heldOut, '--model', 'owner/name'], /give --out/],
    [['--out', 'x.json'], /--text/],
  ])('%j: says what to do', (args, message) => {
    writeFileSync(join(folder, 'short.txt'), 'Too short.')
    const { code, error } = calibrate(...args)
    expect(code).not.toBe(0)
    expect(error).toMatch(message)
  })

  it('a file of another model is refused', () => {
    for (const [json, what] of [
      [undefined, /format/],
      [{ format: 'kvfold-calibration-1', layers: [{}] }, /8 layers/],
      [{ format: 'kvfold-calibration-1', layers: Array.from({ length: 8 }, () => ({ keyLow: [1, 2] })) }, /128 numbers/],
    ] as const)
      expect(() => parseCalibration(json, 8, 128, 'other.json')).toThrow(what)
  })
})
