type Value = string | number | boolean | string[] | number[]

/** The bytes of a GGUF file (version 3). Whole numbers are written as uint32, others as float32. Shapes are [out, in]. */
export function writeGguf(
  metadata: Record<string, Value>,
  tensors: { name: string; shape: number[]; type: number; data: Uint8Array }[],
): Uint8Array {
  const parts: Uint8Array[] = []
  const u32 = (x: number): void => void parts.push(new Uint8Array(Uint32Array.of(x).buffer))
  const u64 = (x: number): void => void parts.push(new Uint8Array(BigUint64Array.of(BigInt(x)).buffer))
  const text = (x: string): void => {
    const bytes = new TextEncoder().encode(x)
    u64(bytes.length)
    parts.push(bytes)
  }
  const kind = (x: Value): number => (typeof x === 'string' ? 8 : typeof x === 'boolean' ? 7 : Number.isInteger(x) ? 4 : 6)
  const plain = (x: string | number | boolean, type: number): void => {
    if (type === 8) text(x as string)
    else if (type === 7) parts.push(Uint8Array.of(Number(x)))
    else if (type === 4) u32(x as number)
    else parts.push(new Uint8Array(Float32Array.of(x as number).buffer))
  }
  parts.push(new TextEncoder().encode('GGUF'))
  u32(3)
  u64(tensors.length)
  u64(Object.keys(metadata).length)
  for (const [key, value] of Object.entries(metadata)) {
    text(key)
    if (Array.isArray(value)) {
      const type = value.every(Number.isInteger) ? 4 : typeof value[0] === 'string' ? 8 : 6
      u32(9)
      u32(type)
      u64(value.length)
      for (const each of value) plain(each, type)
    } else {
      u32(kind(value))
      plain(value, kind(value))
    }
  }
  let offset = 0
  for (const { name, shape, type, data } of tensors) {
    text(name)
    u32(shape.length)
    for (const n of [...shape].reverse()) u64(n)
    u32(type)
    u64(offset)
    offset += align(data.length)
  }
  const header = parts.reduce((sum, part) => sum + part.length, 0)
  parts.push(new Uint8Array(align(header) - header))
  for (const { data } of tensors) parts.push(data, new Uint8Array(align(data.length) - data.length))
  return new Uint8Array(Buffer.concat(parts))
}

const align = (bytes: number): number => Math.ceil(bytes / 32) * 32
