import type { Calibration, Levels } from '@kvfold/kv-core'
import { ModelFormatError } from './errors.ts'

/** What a calibrated model's folder holds besides its weights. A file `model.gguf` has `model.kv-calibration.json` beside it. */
export const CALIBRATION_FILE = 'kv-calibration.json'
const FORMAT = 'kvfold-calibration-1'
const PARTS = ['keyLevels', 'valueLevels'] as const
const BITS = [2, 3, 4] as const

/** The text of a calibration file: `layers` of all layers, from so many tokens. */
export function calibrationText(layers: readonly Calibration[], tokens: number): string {
  const numbers = (x: Float32Array): number[] => Array.from(x, (value) => Number(value.toPrecision(7)))
  const levels = (all: Calibration['keyLevels']): unknown =>
    Object.fromEntries(BITS.map((bits) => [bits, { choose: numbers(all[bits].choose), read: numbers(all[bits].read) }]))
  const json = layers.map(({ keyLow, keyHigh, keyLevels, valueLevels }) => ({
    keyLow: numbers(keyLow),
    keyHigh: numbers(keyHigh),
    keyLevels: levels(keyLevels),
    valueLevels: levels(valueLevels),
  }))
  return `{"format":"${FORMAT}","tokens":${tokens},"layers":[\n${json.map((layer) => JSON.stringify(layer)).join(',\n')}\n]}\n`
}

/** The calibration of a model of so many layers, with so many key channels each, from a parsed file. Throws ModelFormatError. */
export function parseCalibration(json: unknown, layers: number, channels: number, name: string): Calibration[] {
  const fail = (what: string): never => {
    throw new ModelFormatError(`${name} is no calibration of this model (${what}): run \`kvfold calibrate\` again.`)
  }
  const { format, layers: all } = (json ?? {}) as { format?: unknown; layers?: unknown }
  if (format !== FORMAT) fail(`its format is ${JSON.stringify(format)}`)
  if (!Array.isArray(all) || all.length !== layers) return fail(`it is not of ${layers} layers`)
  const numbers = (value: unknown, length: number): Float32Array => {
    if (!Array.isArray(value) || value.length !== length || !value.every(Number.isFinite)) return fail(`${length} numbers are missing`)
    return Float32Array.from(value as number[])
  }
  return all.map((layer: Record<string, unknown>): Calibration => {
    const levelsOf = (part: (typeof PARTS)[number]): Calibration['keyLevels'] => {
      const found = (layer?.[part] ?? {}) as Record<string, { choose?: unknown; read?: unknown }>
      const read = (bits: 2 | 3 | 4): Levels => ({
        choose: numbers(found[bits]?.choose, 2 ** bits),
        read: numbers(found[bits]?.read, 2 ** bits),
      })
      return { 2: read(2), 3: read(3), 4: read(4) }
    }
    return {
      keyLow: numbers(layer?.['keyLow'], channels),
      keyHigh: numbers(layer?.['keyHigh'], channels),
      keyLevels: levelsOf('keyLevels'),
      valueLevels: levelsOf('valueLevels'),
    }
  })
}
