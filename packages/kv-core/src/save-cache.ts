import { shapeText, type CacheFacts, type HeadFacts, type ListFacts, type Runs } from './cache-facts.ts'
import { tensorBytes, writeHeader } from './cache-header.ts'
import { plainBytes, slotsOf, type ClassesOf, type Slot } from './cache-slots.ts'
import { crc32 } from './crc32.ts'
import { UnfinishedPromptError } from './errors.ts'
import type { Head } from './head.ts'
import type { Layer } from './layer.ts'
import type { Page } from './page.ts'
import type { PageCoding } from './page-coding.ts'
import type { PageList } from './page-list.ts'
import { raw32 } from './codecs.ts'
import { bytesOf, codePages, slotBytes, type CacheParts } from './slot-bytes.ts'

export interface SaveOptions {
  /** Of the model that read the tokens, such as `model.fingerprint`: the file loads for no other. */
  fingerprint: string
  /** Anything that the file should say about itself. */
  info?: Record<string, string>
  /** Makes packed pages smaller where it can. Whoever loads the file needs it too. All that it made is in memory until it is written. */
  coding?: PageCoding
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
  return {
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
 * The bytes of a cache file, as safetensors: header, then the tensors layer by layer. Their checksums are the last of them, since they are
 * known only then; what is coded is coded first, since the header names its size. `parts` must not change meanwhile.
 */
export async function* writeCache(
  parts: CacheParts,
  facts: CacheFacts,
  coding: PageCoding | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { headDim } = parts.shared.shape
  const classes = classesOf(parts.layers)
  const coded = coding ? await codePages(slotsOf(facts, classes, headDim), parts, coding) : new Map<string, Uint8Array>()
  const sizes = new Map(Array.from(coded, ([name, { length }]) => [name, length]))
  const slots = slotsOf(facts, classes, headDim, sizes)
  if (coding && coded.size > 0) facts.coding = { name: coding.name, bytes: plainBytes(slots) }
  forgetLargeTables(facts, slots)
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
    const made = coded.get(slot.tensor.name)
    for await (const bytes of made ? [made] : slotBytes(slot, parts, facts.columns)) {
      sums[i] = crc32(bytes, sums[i])
      yield bytes
    }
  }
}
