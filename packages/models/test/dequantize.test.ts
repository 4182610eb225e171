import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { storedBytes } from '../src/dequantize/decoder.ts'
import { GGUF_DECODERS, ggufTypeName } from '../src/dequantize/gguf-types.ts'
import { bytesSource } from '../src/files/file-source.ts'
import { readSafetensorsHeader } from '../src/weights/safetensors-header.ts'

const bytes = new Uint8Array(await readFile(new URL('data/dequantize.safetensors', import.meta.url)))
const entries = await readSafetensorsHeader(bytesSource('golden', bytes))

const quantised = Object.keys(GGUF_DECODERS).filter((type) => type !== 'F32')

test.each(quantised)('%s equals the reference implementation, bit for bit', (type) => {
  const cut = (name: string): Uint8Array => bytes.slice(entries.get(name)!.start, entries.get(name)!.end)
  const stored = cut(`${type}.stored`),
    expected = new Float32Array(cut(`${type}.values`).buffer)
  const decoder = GGUF_DECODERS[type]
  expect(storedBytes(decoder, expected.length)).toBe(stored.length)
  const into = new Float32Array(expected.length + 3).fill(7)
  // At an odd place of a larger buffer, as in a file.
  const moved = new Uint8Array(stored.length + 5)
  moved.set(stored, 5)
  decoder.decode(new DataView(moved.buffer), 5, expected.length, into, 2)
  // But for the sign of zero.
  expect(Array.from(into, (x) => x + 0)).toEqual([7, 7, ...expected, 7].map((x) => x + 0))
})

test('a hand-made Q4_1 block', () => {
  const block = new Uint8Array(20),
    view = new DataView(block.buffer)
  view.setUint16(0, 0x3800, true) // 0.5
  view.setUint16(2, 0xc000, true) // -2
  block[4] = 0xf1
  const into = new Float32Array(32)
  GGUF_DECODERS.Q4_1.decode(view, 0, 32, into, 0)
  expect([into[0], into[1], into[16], into[17]]).toEqual([-1.5, -2, 5.5, -2])
})

test('knows names, and lengths that do not fill blocks', () => {
  expect(ggufTypeName(3)).toBe('Q4_1')
  expect(ggufTypeName(999)).toBe('type 999')
  expect(storedBytes(GGUF_DECODERS.Q8_0, 33)).toBeUndefined()
})
