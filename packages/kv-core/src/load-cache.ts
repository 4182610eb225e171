import { shapeText, type CacheFacts } from './cache-facts.ts'
import { readHeader, type CacheHeader } from './cache-header.ts'
import { listProblem, plainBytes, rowsOf, slotPages, slotsOf, type ClassesOf, type PageSlot, type Slot } from './cache-slots.ts'
import { damaged, readBytes, type CacheSource } from './cache-source.ts'
import { raw32 } from './codecs.ts'
import { crc32 } from './crc32.ts'
import { FingerprintMismatchError, MissingCodingError, PolicyMismatchError } from './errors.ts'
import type { Head } from './head.ts'
import type { PagePool } from './page.ts'
import { writePage } from './page-bytes.ts'
import type { PageCoding } from './page-coding.ts'
import type { Policy } from './policy.ts'
import type { CacheShape } from './shape.ts'
import type { CacheParts } from './slot-bytes.ts'

/** What a file must be of. */
export interface Wanted {
  shape: CacheShape
  policy: Policy
  classesOf: ClassesOf
  fingerprint: string
  codings: readonly PageCoding[]
}

/** A file whose header is sound and fits what is wanted, before anything is made of it. */
export interface CheckedFile {
  source: CacheSource
  header: CacheHeader
  slots: Slot[]
  /** Of the pages that are coded. */
  coding: PageCoding | undefined
}

/** Throws CacheFormatError, FingerprintMismatchError, PolicyMismatchError, MissingCodingError. */
export async function checkCacheFile(source: CacheSource, wanted: Wanted): Promise<CheckedFile> {
  const header = await readHeader(source)
  const { facts, tensors } = header
  checkMatch(source, facts, wanted)
  const problem = factsProblem(facts, wanted, source.size)
  if (problem) throw damaged(source, problem)
  const sizes = new Map(
    tensors.filter(({ name }) => facts.coding && name.endsWith('.coded')).map(({ name, start, end }) => [name, end - start]),
  )
  const slots = slotsOf(facts, wanted.classesOf, wanted.shape.headDim, sizes)
  for (let i = 0; i < Math.max(slots.length, tensors.length); i++) {
    const expected = slots[i]?.tensor
    if (JSON.stringify(expected) !== JSON.stringify(tensors[i], ['name', 'dtype', 'shape']))
      throw damaged(
        source,
        `tensor ${i} is ${tensors[i]?.name ?? 'missing'}, where ${expected?.name ?? 'none'} was expected in another size`,
      )
  }
  // Rows are no more than their columns, which are never coded, so whatever is decoded is some multiple of the file.
  if (plainBytes(slots) !== (facts.coding?.bytes ?? 0))
    throw damaged(source, `${facts.coding?.bytes} bytes are coded, of ${plainBytes(slots)}`)
  return { source, header, slots, coding: wanted.codings.find(({ name }) => name === facts.coding?.name) }
}

function checkMatch({ name = 'This cache file' }: CacheSource, facts: CacheFacts, { shape, policy, fingerprint, codings }: Wanted): void {
  if (facts.fingerprint !== fingerprint)
    throw new FingerprintMismatchError(
      `${name} was saved with the model ${facts.fingerprint}, and this one is ${fingerprint}: load it with the model that read its tokens.`,
    )
  if (facts.shape !== shapeText(shape))
    throw new FingerprintMismatchError(
      `${name} is of the shape ${facts.shape}, and this model's is ${shapeText(shape)}: load it with the model that read its tokens.`,
    )
  if (facts.policy !== policy.text)
    throw new PolicyMismatchError(
      `${name} was saved under the policy ${facts.policy}, and this one is ${policy.text}: load it under its own.`,
    )
  if (facts.coding && !codings.some((coding) => coding.name === facts.coding?.name))
    throw new MissingCodingError(
      `${name} has pages in the coding ${facts.coding.name}, and ${codings.map((coding) => coding.name).join(', ') || 'none'} is at hand: give it to KvCache.load, in \`codings\`.`,
    )
}

/** What is wrong with the facts; undefined if nothing is. No size that they claim is more than what the file's tensors can hold. */
function factsProblem(facts: CacheFacts, { shape, policy, classesOf }: Wanted, size: number): string | undefined {
  const { layers, kvHeads } = shape
  const { heads, planner, tokens, columns } = facts
  if (columns.join() !== policy.columns.map(({ name }) => name).join()) return `its columns are ${columns.join(', ')}`
  if (heads.length !== layers || heads.some((own) => own.length !== kvHeads)) return 'it has other layers or heads than its shape'
  for (const own of [planner.measures, planner.budgets, planner.states, planner.steps])
    if (own.length !== layers) return 'its planner has other layers than its shape'
  if (planner.budgets.some((rows) => rows && rows.length !== kvHeads)) return 'its planner has other heads than its shape'
  let tables = 0
  for (const [place, { rows, room, segments }] of heads.flat().entries()) {
    if (rows > tokens) return `a head of ${rows} rows, of ${tokens} tokens`
    // As much room as columns ever have: see Columns.append.
    if (room < rows || room > rows + 7 + (rows >> 4)) return `columns of ${rows} rows with room for ${room}`
    const classes = classesOf(Math.floor(place / kvHeads), place % kvHeads)
    if (segments.length !== classes.length) return `a head of ${segments.length} segments`
    let sum = 0
    for (const [i, { storage, codecs, keys, values }] of segments.entries()) {
      if (storage !== classes.length - 1 - i) return `a segment of the storage class ${storage} at place ${i}`
      const own = classes[storage]
      if (codecs[0] !== own.keys.name || codecs[1] !== own.values.name) return `its codecs are ${codecs.join(' and ')}`
      const problem = listProblem(keys, own.keys, shape.headDim) ?? listProblem(values, own.values, shape.headDim)
      if (problem) return problem
      const [keyRows, valueRows] = [keys, values].map(({ packed, raw }) => rowsOf(packed) + rowsOf(raw))
      if (keyRows !== valueRows) return `${keyRows} keys and ${valueRows} values in one segment`
      sum += keyRows
      tables += keys.table + values.table
    }
    if (sum !== rows) return `a head of ${rows} rows, whose segments have ${sum}`
  }
  return tables > size ? `tables of ${tables} bytes in a file of ${size}` : undefined
}

/** Fills a fresh cache from a file, tensor by tensor. Throws CacheFormatError: the cache is then worth nothing. */
export async function fillCache({ source, header, slots, coding }: CheckedFile, { shared, layers }: CacheParts): Promise<void> {
  const { facts } = header
  const { planner, pool, shape } = shared
  const sums = await readSums(source, header)
  for (const [i, slot] of slots.entries()) {
    if (slot.kind === 'sums') continue
    const bytes = await readTensor(source, header, sums, i)
    if (slot.kind === 'memory') planner.memory[slot.name] = floats(bytes)
    else if (slot.kind === 'columns') fillColumns(layers[slot.layer].heads[slot.head], facts, slot, floats(bytes))
    else {
      const plain = slot.coded ? decoded(source, slot, bytes, coding!, shape.headDim) : bytes
      fillPages(layers[slot.layer].heads[slot.head], slot, plain, pool, shape.headDim)
    }
  }
  for (const [layer, own] of layers.entries()) {
    own.seen = facts.tokens
    for (const [h, head] of own.heads.entries()) {
      for (const [s, segment] of head.segments.entries()) {
        const { logitScale, logWeight, keys, values } = facts.heads[layer][h].segments[s]
        Object.assign(segment, { logitScale, logWeight })
        segment.keys.reserveTable(keys.table)
        segment.values.reserveTable(values.table)
      }
    }
  }
  planner.restore(facts.planner)
}

/** The checksums, which have one of their own. */
export async function readSums(source: CacheSource, { tensors }: CacheHeader): Promise<Uint32Array> {
  const last = tensors.at(-1)
  if (last?.dtype !== 'U32' || last.shape.length !== 1 || last.shape[0] !== tensors.length) throw damaged(source, 'it has no checksums')
  const bytes = new Uint8Array(await readBytes(source, last.start, last.end))
  const sums = new Uint32Array(bytes.buffer)
  if (sums.at(-1) !== crc32(bytes.subarray(0, -4))) throw damaged(source, 'its checksums do not have their own checksum')
  return sums
}

/** A tensor's bytes, which have its checksum. */
export async function readTensor(source: CacheSource, { tensors }: CacheHeader, sums: Uint32Array, index: number): Promise<Uint8Array> {
  const { name, start, end } = tensors[index]
  const bytes = await readBytes(source, start, end)
  if (crc32(bytes) !== sums[index]) throw damaged(source, `${name} does not have its checksum`)
  return bytes
}

function decoded(source: CacheSource, slot: PageSlot, bytes: Uint8Array, coding: PageCoding, headDim: number): Uint8Array {
  const plain = new Uint8Array(slot.bytes)
  try {
    coding.decode(bytes, slotPages(slot, headDim), plain)
  } catch (cause) {
    throw damaged(source, (cause as Error).message, cause)
  }
  return plain
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer)
}

function fillColumns(
  head: Head,
  { columns, heads }: CacheFacts,
  { layer, head: h }: { layer: number; head: number },
  data: Float32Array,
): void {
  const { rows, room } = heads[layer][h]
  head.columns.resize(rows, room)
  for (const [i, name] of columns.entries()) head.columns.get(name).set(data.subarray(i * rows, (i + 1) * rows))
}

function fillPages(
  { segments, classes }: Head,
  { segment, part, codec: stored, runs }: PageSlot,
  bytes: Uint8Array,
  pool: PagePool,
  headDim: number,
): void {
  const list = segments[segment]
  // The codec of the cache at hand, by whose identity pages are told apart.
  const codec = stored === raw32 ? raw32 : classes[list.storage][part]
  let at = 0
  for (const [rows, capacity, count] of runs) {
    for (let i = 0; i < count; i++) {
      const page = pool.page(codec, capacity, headDim)
      page.rows = rows
      list[part].push(page)
      at = writePage(pool.heap, page, headDim, bytes, at)
    }
  }
}
