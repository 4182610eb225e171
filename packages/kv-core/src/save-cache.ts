import { shapeText, type CacheFacts, type HeadFacts, type ListFacts, type Runs } from './cache-facts.ts'
import { tensorBytes, writeHeader } from './cache-header.ts'
import { slotsOf, type ClassesOf, type Slot } from './cache-slots.ts'
import { crc32 } from './crc32.ts'
import { UnfinishedPromptError } from './errors.ts'
import type { Head } from './head.ts'
import type { Layer, Shared } from './layer.ts'
import type { Page } from './page.ts'
import { readPage } from './page-bytes.ts'
import type { PageList } from './page-list.ts'
import { raw32 } from './codecs.ts'

/** Bytes of a chunk, at least one page. */
const CHUNK = 1 << 20

export interface SaveOptions {
  /** Of the model that read the tokens, such as `model.fingerprint`: the file loads for no other. */
  fingerprint: string
  /** Anything that the file should say about itself. */
  info?: Record<string, string>
}

/** The parts of a cache that a file is made of. */
export interface CacheParts {
  shared: Shared
  layers: readonly Layer[]
}

/** Throws UnfinishedPromptError if the cache is in the middle of something that a file does not hold. */
export function checkSavable({ shared: { planner, policy }, layers }: CacheParts): void {
  const refuse = (why: string): never => {
    throw new UnfinishedPromptError(`This cache cannot be saved now: ${why}.`)
  }
  if (layers.some((layer) => layer.attending)) refuse('a layer is attending, so await that call first')
  if (planner.waiting > 0) refuse(`${policy.text} reads a prompt twice, and its second reading is still to come`)
  if (layers.some((layer) => layer.promptTokens > 0)) refuse('more of its prompt is to come, so feed the rest first')
  if (layers.some((layer) => layer.seen !== layers[0].seen)) refuse('some layers have seen more tokens than others, so feed those first')
}

/** What a file's header says about a cache. */
export function describeCache({ shared, layers }: CacheParts, { fingerprint, info = {} }: SaveOptions): CacheFacts {
  const { policy, shape, planner } = shared
  const facts: CacheFacts = {
    policy: policy.text,
    fingerprint,
    shape: shapeText(shape),
    tokens: layers[0].seen,
    columns: policy.columns.map(({ name }) => name),
    heads: layers.map(({ heads }) => heads.map(describeHead)),
    planner: planner.facts(),
    memory: Object.entries(planner.memory).map(([name, { length }]) => [name, length]),
    info,
  }
  forgetLargeTables(facts, slotsOf(facts, classesOf(layers), shape.headDim))
  return facts
}

function classesOf(layers: readonly Layer[]): ClassesOf {
  return (layer, head) => layers[layer].heads[head].classes
}

function describeHead(head: Head): HeadFacts {
  return {
    rows: head.rows,
    room: head.columns.room,
    segments: head.segments.map(({ storage, logitScale, logWeight, keys, values }) => {
      const codecs = head.classes[storage]
      return {
        storage,
        codecs: [codecs.keys.name, codecs.values.name],
        logitScale,
        logWeight,
        keys: describeList(keys),
        values: describeList(values),
      }
    }),
  }
}

function describeList({ pages, indexBytes }: PageList): ListFacts {
  return {
    packed: runsOf(pages.filter(({ codec }) => codec !== raw32)),
    raw: runsOf(pages.filter(({ codec }) => codec === raw32)),
    table: indexBytes,
  }
}

function runsOf(pages: readonly Page[]): Runs {
  const runs: Runs = []
  for (const { rows, capacity } of pages) {
    const last = runs.at(-1)
    if (last?.[0] === rows && last[1] === capacity) last[2]++
    else runs.push([rows, capacity, 1])
  }
  return runs
}

/** A table that is still as long as a prompt that has left may be larger than all that stayed: a reader would not believe it. */
function forgetLargeTables(facts: CacheFacts, slots: readonly Slot[]): void {
  const lists = facts.heads.flat().flatMap(({ segments }) => segments.flatMap(({ keys, values }) => [keys, values]))
  const tensors = slots.map(({ tensor }) => tensor)
  const bytes = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), writeHeader(facts, tensors).length)
  if (lists.reduce((sum, { table }) => sum + table, 0) > bytes) for (const list of lists) list.table = 0
}

/**
 * The bytes of a cache file, as safetensors: header, then the tensors layer by layer, each read once. Their checksums are the last of them,
 * since they are known only then. `parts` must not change meanwhile.
 */
export async function* writeCache({ shared, layers }: CacheParts, facts: CacheFacts): AsyncGenerator<Uint8Array, void, undefined> {
  const { planner, shape } = shared
  const slots = slotsOf(facts, classesOf(layers), shape.headDim)
  yield writeHeader(
    facts,
    slots.map(({ tensor }) => tensor),
  )
  const sums = new Uint32Array(slots.length)
  for (const [i, slot] of slots.entries()) {
    if (slot.kind === 'sums') {
      sums[i] = crc32(bytesOf(sums.subarray(0, i)))
      yield bytesOf(sums)
      continue
    }
    for await (const bytes of slotBytes(slot, shared, layers, facts.columns, planner.memory)) {
      sums[i] = crc32(bytes, sums[i])
      yield bytes
    }
  }
}

async function* slotBytes(
  slot: Exclude<Slot, { kind: 'sums' }>,
  shared: Shared,
  layers: readonly Layer[],
  columns: readonly string[],
  memory: Readonly<Record<string, Float32Array>>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (slot.kind === 'memory') return yield bytesOf(memory[slot.name].slice())
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

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
}
