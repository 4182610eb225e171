import { type ArrayTensor, ownHeap, type WasmHeap } from '@kvfold/kernels'
import { crc32, KvFoldError, type CacheShape, type KvCache, type Random, type SaveOptions } from '@kvfold/kv-core'

export const FINGERPRINT = 'toy-1'

/** A heap that remembers the most that was held in it since `most` was set. */
export function watchedHeap(): WasmHeap & { most: number } {
  const heap = Object.assign(ownHeap(), { most: 0 })
  const malloc = heap.malloc.bind(heap)
  heap.malloc = (bytes) => {
    const address = malloc(bytes)
    heap.most = Math.max(heap.most, heap.live)
    return address
  }
  return heap
}

/** All bytes of a saved cache. */
export async function saved(cache: KvCache, options: Partial<SaveOptions> = {}): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of cache.save({ fingerprint: FINGERPRINT, ...options })) chunks.push(chunk)
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  chunks.reduce((at, chunk) => (bytes.set(chunk, at), at + chunk.length), 0)
  return bytes
}

type Inputs = Record<'q' | 'k' | 'v' | 'retaining', ArrayTensor>

/** Random tensors for every layer. */
export function draw({ layers, queryHeads, kvHeads, headDim }: CacheShape, n: number, random: Random): Inputs[] {
  const tensor = (...shape: number[]): ArrayTensor => ({
    shape,
    dtype: 'float32',
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => (random() + random() + random() - 1.5) * 2),
  })
  return Array.from({ length: layers }, () => ({
    q: tensor(queryHeads, n, headDim),
    k: tensor(kvHeads, n, headDim),
    v: tensor(kvHeads, n, headDim),
    retaining: tensor(kvHeads, n),
  }))
}

/** Feeds what was drawn to all layers, a second time if the policy wants it; returns the outputs of the first. */
export async function feed(cache: KvCache, inputs: readonly Inputs[], more = false): Promise<Float32Array[]> {
  const outputs: Float32Array[] = []
  for (const [layer, input] of inputs.entries())
    outputs.push(((await cache.layer(layer).attend({ ...input, more })) as ArrayTensor).data.slice())
  if (cache.unread > 0)
    await cache.reconstruct(Infinity, async () => {
      for (const [layer, input] of inputs.entries()) await cache.layer(layer).attend(input)
    })
  return outputs
}

/** A file taken apart, to be damaged and put together with right checksums again. */
export interface Opened {
  header: Record<string, { data_offsets: [number, number]; dtype: string; shape: number[] }> & { __metadata__: Record<string, string> }
  data: Uint8Array
}

export function open(file: Uint8Array): Opened {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Opened['header']
  return { header, data: file.slice(8 + length) }
}

/** The file, with the checksums that it should have. */
export function seal({ header, data }: Opened): Uint8Array {
  const { __metadata__: metadata, ...tensors } = header
  const places = Object.values(tensors)
  const sums = places.at(-1)
  if (places.length > 0 && sums && places.every(({ data_offsets: [from, to] }) => from >= 0 && from <= to && to <= data.length)) {
    const [from, to] = sums.data_offsets
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    places.slice(0, -1).forEach(({ data_offsets }, i) => {
      if (from + 4 * i + 4 <= to - 4) view.setUint32(from + 4 * i, crc32(data.subarray(...data_offsets)), true)
    })
    if (to - from >= 4) view.setUint32(to - 4, crc32(data.subarray(from, to - 4)), true)
  }
  const text = new TextEncoder().encode(JSON.stringify({ ...header, __metadata__: { ...metadata, checksum: '00000000' } }))
  const padded = Math.ceil(text.length / 8) * 8
  const file = new Uint8Array(8 + padded + data.length).fill(32)
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true)
  file.set(text, 8)
  file.set(data, 8 + padded)
  const sum = crc32(file.subarray(0, 8 + padded))
    .toString(16)
    .padStart(8, '0')
  file.set(new TextEncoder().encode(sum), 8 + '{"__metadata__":{"checksum":"'.length)
  return file
}

/** True if every bit is the same. */
export function same(a: Uint8Array | Float32Array, b: Uint8Array | Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}

/** The ledger's own bytes: rotation tables come and go, a peak is one cache's own. */
export function held(cache: KvCache): object {
  const { payload, scales, columns, indices, bytes, rows, seen, tiers } = cache.ledger()
  const away = Object.values(tiers).reduce((a, b) => a + b, 0)
  // What is away comes back as payload and scales.
  return { stored: payload + scales + away, columns, indices, all: bytes + away, rows, seen }
}

/** Undefined for an error that was thrown on purpose. */
export function typed(error: unknown): undefined {
  if (!(error instanceof KvFoldError)) throw error
}

/** Bytes changed, cut out, doubled; or numbers of the header changed and everything sealed again. */
export function mutate(file: Uint8Array, random: () => number): Uint8Array {
  const below = (n: number): number => Math.floor(random() * n)
  const opened = open(file)
  switch (below(5)) {
    case 0: {
      const bytes = file.slice()
      for (let i = below(8); i >= 0; i--) bytes[below(bytes.length)] = below(256)
      return bytes
    }
    case 1: {
      const [from, to] = [below(file.length), below(file.length)].sort((a, b) => a - b)
      return Buffer.concat([file.subarray(0, from), file.subarray(to), file.subarray(0, below(2) * from)])
    }
    case 2: {
      for (let i = below(8); i >= 0; i--) opened.data[below(opened.data.length)] = below(256)
      return seal(opened)
    }
    case 3: {
      const text = JSON.stringify(opened.header)
      const digits = [...text.matchAll(/\d+/g)]
      const { index, 0: old } = digits[below(digits.length)]
      const number = ['0', '1', '7', '8', '64', '65', '-1', '1e9', '4294967296', '1e308', '""', 'null', '0.5'][below(13)]
      const changed = text.slice(0, index) + number + text.slice(index + old.length)
      try {
        opened.header = JSON.parse(changed)
      } catch {
        return file.subarray(1)
      }
      return seal(opened)
    }
    default: {
      const metadata = opened.header['__metadata__']
      const names = ['tokens', 'columns', 'heads', 'planner', 'memory', 'info']
      const name = names[below(names.length)]
      const text = metadata[name]
      const at = below(text.length)
      const piece = ['[]', '{}', '9', '-', '"', ',', 'null', '99999999', '[[8,8,99]]', 'NaN', '"Infinity"'][below(11)]
      metadata[name] = text.slice(0, at) + piece + text.slice(at + below(4))
      return seal(opened)
    }
  }
}
