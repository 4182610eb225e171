import { FACTS, factText, type CacheFacts } from './cache-facts.ts'
import { damaged, readBytes, type CacheSource } from './cache-source.ts'
import { crc32 } from './crc32.ts'

const FORMAT = 'kvfold-cache'
const VERSION = '1'
/** The header begins so, and its own checksum follows: eight hexadecimal digits, which count as zeros in the sum. */
const START = '{"__metadata__":{"checksum":"'
const NO_SUM = '00000000'
/** The format's own limit. */
const MAX_HEADER = 100_000_000

const SIZES = { U8: 1, F32: 4, U32: 4 } as const

/** A tensor of a cache file. */
export interface CacheTensor {
  name: string
  dtype: keyof typeof SIZES
  shape: number[]
}

/** A tensor, and where it lies in the file. */
export interface PlacedTensor extends CacheTensor {
  start: number
  end: number
}

/** What a header says. */
export interface CacheHeader {
  facts: CacheFacts
  tensors: PlacedTensor[]
  /** Bytes before the data. */
  bytes: number
}

export function tensorBytes({ dtype, shape }: CacheTensor): number {
  return shape.reduce((product, n) => product * n, SIZES[dtype])
}

/** The first bytes of a safetensors file: the header's length, the header, spaces up to a multiple of eight. Tensors follow without gaps. */
export function writeHeader(facts: CacheFacts, tensors: readonly CacheTensor[]): Uint8Array {
  const { policy, fingerprint, shape, ...others } = facts
  const metadata: Record<string, string> = { checksum: NO_SUM, format: FORMAT, version: VERSION, policy, fingerprint, shape }
  for (const [name, value] of Object.entries(others)) metadata[name] = factText(value)
  const header: Record<string, unknown> = { __metadata__: metadata }
  let at = 0
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor
    header[name] = { dtype, shape, data_offsets: [at, (at += tensorBytes(tensor))] }
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const file = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(32)
  new DataView(file.buffer).setBigUint64(0, BigInt(file.length - 8), true)
  file.set(text, 8)
  file.set(new TextEncoder().encode(headerSum(file)), 8 + START.length)
  return file
}

/** Eight hexadecimal digits over the length and the header, of which these digits themselves count as zeros. */
function headerSum(file: Uint8Array): string {
  const at = 8 + START.length
  const zeros = new TextEncoder().encode(NO_SUM)
  const sum = crc32(file.subarray(at + zeros.length), crc32(zeros, crc32(file.subarray(0, at))))
  return sum.toString(16).padStart(NO_SUM.length, '0')
}

/**
 * Reads and checks a header: nothing is believed, and nothing allocated, before it fits the file's size. What the facts mean for a policy
 * and a shape is not looked at here. Throws CacheFormatError.
 */
export async function readHeader(source: CacheSource): Promise<CacheHeader> {
  const fail = (what: string, cause?: unknown): never => {
    throw damaged(source, what, cause)
  }
  if (source.size < 8 + START.length + NO_SUM.length) fail(`${source.size} bytes long`)
  const first = await readBytes(source, 0, 8)
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true))
  if (length < START.length + NO_SUM.length || length > MAX_HEADER || 8 + length > source.size)
    fail(`a header of ${length} bytes in a file of ${source.size}`)
  const file = await readBytes(source, 0, 8 + length)
  const at = 8 + START.length
  if (decode(file.subarray(8, at)) !== START) fail('it is not one of ours, or damaged at its start')
  if (decode(file.subarray(at, at + NO_SUM.length)) !== headerSum(file)) fail("its header does not have the header's checksum")

  let json: Record<string, unknown> = {}
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(file.subarray(8))) as Record<string, unknown>
  } catch (cause) {
    fail('its header is not JSON', cause)
  }
  const { __metadata__: metadata, ...entries } = json
  return { facts: readFacts(metadata, fail), tensors: readTensors(entries, file.length, source.size, fail), bytes: file.length }
}

type Fail = (what: string, cause?: unknown) => never

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

function readFacts(metadata: unknown, fail: Fail): CacheFacts {
  const texts = (metadata ?? {}) as Record<string, unknown>
  const text = (name: string): string => {
    const value = Object.hasOwn(texts, name) ? texts[name] : undefined
    return typeof value === 'string' ? value : fail(`its metadata has no text "${name}"`)
  }
  if (text('format') !== FORMAT) fail(`its format is "${text('format')}"`)
  if (text('version') !== VERSION) fail(`its version is ${text('version')}, and this program reads ${VERSION}`)
  const facts: Record<string, unknown> = { policy: text('policy'), fingerprint: text('fingerprint'), shape: text('shape') }
  for (const [name, schema] of Object.entries(FACTS)) {
    if (!Object.hasOwn(texts, name) && schema.safeParse(undefined).success) continue
    let value: unknown
    try {
      value = JSON.parse(text(name))
    } catch (cause) {
      fail(`"${name}" in its metadata is not JSON`, cause)
    }
    const result = schema.safeParse(value)
    if (!result.success) {
      const { path, message } = result.error.issues[0]
      fail(`${[name, ...path].join('.')} in its metadata: ${message}`)
    }
    facts[name] = result.data
  }
  return facts as unknown as CacheFacts
}

function readTensors(entries: Record<string, unknown>, first: number, size: number, fail: Fail): PlacedTensor[] {
  const whole = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0
  let at = first
  const tensors = Object.entries(entries).map(([name, value]): PlacedTensor => {
    const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>
    if (typeof dtype !== 'string' || !Object.hasOwn(SIZES, dtype)) fail(`${name} has the type ${JSON.stringify(dtype)}`)
    if (!Array.isArray(shape) || !shape.every(whole)) return fail(`${name} has no valid shape`)
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole)) return fail(`${name} has no valid offsets`)
    const tensor = { name, dtype: dtype as CacheTensor['dtype'], shape, start: first + offsets[0], end: first + offsets[1] }
    if (tensor.start !== at) fail(`${name} overlaps what comes before it, or leaves a gap`)
    if (tensor.end < tensor.start || tensor.end > size) fail(`${name} ends at byte ${tensor.end} of ${size}`)
    if (tensor.end - tensor.start !== tensorBytes(tensor)) fail(`${name} does not have the size of its shape`)
    at = tensor.end
    return tensor
  })
  if (at !== size) fail(`${size} bytes long, but its tensors end at ${at}`)
  return tensors
}
