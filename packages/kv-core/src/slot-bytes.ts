import { slotPages, type Slot } from './cache-slots.ts'
import { raw32 } from './codecs.ts'
import type { Layer, Shared } from './layer.ts'
import type { Page } from './page.ts'
import { readPage } from './page-bytes.ts'
import type { PageCoding } from './page-coding.ts'

/** Bytes of a chunk, at least one page. */
const CHUNK = 1 << 20

/** The parts of a cache that a file is made of. */
export interface CacheParts {
  shared: Shared
  layers: readonly Layer[]
}

/** A tensor's bytes, read from the cache chunk by chunk. */
export async function* slotBytes(
  slot: Exclude<Slot, { kind: 'sums' }>,
  { shared, layers }: CacheParts,
  columns: readonly string[],
): AsyncGenerator<Uint8Array, void, undefined> {
  if (slot.kind === 'memory') return yield bytesOf(shared.planner.memory[slot.name].slice())
  const head = layers[slot.layer].heads[slot.head]
  if (slot.kind === 'columns') {
    for (const name of columns) yield bytesOf(head.columns.get(name).slice())
    return
  }
  const list = head.segments[slot.segment][slot.part]
  yield* pageBytes(
    list.pages.filter(({ codec }) => codec === slot.codec),
    shared,
  )
}

/** Codes the pages that are packed. Those that it makes fewer bytes of come back, by the names that their tensors then have. */
export async function codePages(slots: readonly Slot[], parts: CacheParts, coding: PageCoding): Promise<Map<string, Uint8Array>> {
  const coded = new Map<string, Uint8Array>()
  for (const slot of slots) {
    if (slot.kind !== 'pages' || slot.codec === raw32) continue
    const plain = new Uint8Array(slot.bytes)
    let at = 0
    for await (const chunk of slotBytes(slot, parts, [])) {
      plain.set(chunk, at)
      at += chunk.length
    }
    const bytes = coding.encode(plain, slotPages(slot, parts.shared.shape.headDim))
    if (bytes && bytes.length < plain.length) coded.set(slot.tensor.name.replace(/packed$/, 'coded'), bytes)
  }
  return coded
}

/** Pages in chunks; one that is away is read for this and does not come home. */
async function* pageBytes(pages: readonly Page[], { pool, shape: { headDim } }: Shared): AsyncGenerator<Uint8Array, void, undefined> {
  const sizeOf = ({ codec, rows }: Page): number => codec.bytes(rows, headDim)
  for (let first = 0; first < pages.length;) {
    let bytes = 0,
      end = first
    do bytes += sizeOf(pages[end++])
    while (end < pages.length && bytes + sizeOf(pages[end]) <= CHUNK)
    const chunk = new Uint8Array(bytes)
    let at = 0
    for (const page of pages.slice(first, end)) {
      const address = page.address || (await pool.fetch(page))
      at = readPage(pool.heap, page, address, headDim, chunk, at)
      // A page that leaves while it is read is a copy of ours no less.
      if (address !== page.address) pool.free(address, page.bytes)
    }
    yield chunk
    first = end
  }
}

export function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
}
