import type { Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, it } from 'vitest'
import { aging, average, away, largest, mixed, opaque, packed } from './toy-methods.ts'

// Every choice alone, every pair of axes, and everything at once: the laws must not depend on what meets.
const axes: Record<string, (() => Preset)[]> = {
  rows: [() => largest(), () => largest({ decode: false })],
  encode: [
    () => packed(),
    () => packed({ bits: 2, residual: 16 }),
    () => opaque(),
    () => opaque({ unrotated: true }),
    () => mixed(),
    () => aging(),
  ],
  place: [() => away(), () => away({ later: true, resident: 70 })],
}
const { rows, encode, place } = axes
const fold = (): Preset => average()
const withFold = rows.map((make) => [make, fold])

const combinations: (() => Preset)[][] = [
  [],
  ...[...rows, ...encode, ...place].map((make) => [make]),
  ...withFold,
  ...rows.flatMap((a) => [...encode, ...place].map((b) => [a, b])),
  ...encode.flatMap((a) => place.map((b) => [a, b])),
  ...encode.map((make) => [...withFold[0], make]),
  ...place.map((make) => [...withFold[1], make]),
  ...encode.flatMap((a) => place.map((b) => [...withFold[0], a, b])),
]

for (const parts of combinations) {
  const make = (): Preset[] => parts.map((part) => part())
  testMethod(
    make()
      .map((preset) => preset.text)
      .join(' + ') || 'full',
    make,
    { describe, it },
  )
}
