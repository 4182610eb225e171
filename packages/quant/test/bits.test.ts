import fc from 'fast-check'
import { expect, it } from 'vitest'
import { putBits, takeLevels } from '../src/bits.ts'

it('takes the levels of the codes that were put, of any width, from any byte on', () => {
  const setting = fc.integer({ min: 1, max: 8 }).chain((bits) =>
    fc.record({
      bits: fc.constant(bits),
      from: fc.integer({ min: 0, max: 3 }),
      codes: fc.array(fc.integer({ min: 0, max: 2 ** bits - 1 }), { maxLength: 70 }),
    }),
  )
  fc.assert(
    fc.property(setting, ({ bits, from, codes }) => {
      const bytes = new Uint8Array(from + Math.ceil((codes.length * bits) / 8))
      codes.forEach((code, i) => putBits(bytes, from, i * bits, code))
      const levels = Float64Array.from({ length: 2 ** bits }, (_, code) => Math.sqrt(code))
      const taken = new Float64Array(codes.length)
      takeLevels(bytes, from, bits, levels, taken)
      expect([...taken]).toEqual(codes.map((code) => levels[code]))
    }),
  )
})
