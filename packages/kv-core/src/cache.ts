import { createKernels, type Kernels } from '@kvfold/kernels'
import type { Needs, Observation } from './axes.ts'
import type { ClassesOf } from './cache-slots.ts'
import { cacheSource, type CacheSource } from './cache-source.ts'
import { DisposedError, ReconstructionError, ShapeError, UnsupportedPolicyError } from './errors.ts'
import { Head } from './head.ts'
import { Layer, type Shared } from './layer.ts'
import type { LayerCache } from './layer-cache.ts'
import type { Ledger } from './ledger.ts'
import { heldRows, type HeldRows } from './held-rows.ts'
import { checkCacheFile, fillCache } from './load-cache.ts'
import type { ModelParts } from './model-parts.ts'
import { Observer } from './observe.ts'
import { PagePool } from './page.ts'
import type { PageCoding } from './page-coding.ts'
import { Planner } from './planner.ts'
import { compose, mergeNeeds, neededColumns, type Policy } from './policy.ts'
import { SecondReading } from './reconstruction.ts'
import { Rotary } from './rotary.ts'
import { checkSavable, describeCache, writeCache, type SaveOptions } from './save-cache.ts'
import { checkShape, type CacheShape } from './shape.ts'
import type { CacheParts } from './slot-bytes.ts'
import { storageClasses } from './storage-classes.ts'
import { PlanTrace } from './trace.ts'

export interface CacheOptions {
  /** Default: the full cache. */
  policy?: Policy
  /** Default: `createKernels()`, the fastest of this machine. Caches of one program should share theirs. */
  kernels?: Kernels
  /** The model, for policies that must know more of it than its shape. Default: nothing is known. */
  model?: ModelParts
  /** Record every applied plan in `trace`. Default false. */
  trace?: boolean
}

export interface LoadOptions extends CacheOptions {
  shape: CacheShape
  /** Of the model that is to go on: it must be the one that read the tokens. */
  fingerprint: string
  /** Those that the file may have its pages in. Default: none. */
  codings?: readonly PageCoding[]
}

/** What a recording of a prompt wants to see beyond the policy, and where it goes. */
export interface Recorder {
  needs: Needs
  record(layer: number, observations: Observation[]): void
}

/** The key-value cache of one sequence. Not safe for concurrent calls: await one step before the next. */
export class KvCache {
  readonly shape: CacheShape
  readonly policy: Policy
  private readonly model: ModelParts
  readonly trace: PlanTrace | undefined
  private readonly kernels: Kernels
  private readonly pool: PagePool
  private readonly rotary: Rotary | undefined
  private readonly layers: Layer[]
  private readonly planner: Planner
  /** Caches that use this pool: the last one to go closes the tier. */
  private readonly users: Set<KvCache>
  private readonly shared: Shared

  /** Throws ShapeError, UnsupportedPolicyError. */
  constructor(shape: CacheShape, options: CacheOptions = {}, from?: KvCache, recorder?: Recorder) {
    checkShape(shape)
    this.shape = shape
    this.policy = options.policy ?? compose()
    this.kernels = options.kernels ?? createKernels()
    this.model = options.model ?? {}
    const classesOf = checkedClasses(shape, this.policy, this.model)
    this.pool = from?.pool ?? new PagePool(this.kernels.heap)
    this.users = from?.users ?? new Set()
    this.users.add(this)
    this.trace = options.trace ? new PlanTrace() : undefined
    this.rotary = shape.rope === 'external' ? undefined : new Rotary(shape.rope, shape.headDim, this.pool)
    const { columns, needs } = this.policy
    const ownColumns = recorder ? [...columns, ...neededColumns(recorder.needs)] : columns
    const { kernels, pool, rotary, policy } = this
    const at = { kernels, pool, rotary, headDim: shape.headDim }
    const basis = policy.encode?.basis?.({
      shape,
      model: this.model,
      kernels,
      malloc: (bytes) => pool.malloc(bytes),
      free: (address, bytes) => pool.free(address, bytes),
    })
    const heads = Array.from({ length: shape.layers }, (_, layer) =>
      Array.from({ length: shape.kvHeads }, (_, head) =>
        from ? from.layers[layer].heads[head].share() : new Head(at, ownColumns, classesOf(layer, head)),
      ),
    )
    const all = mergeNeeds([needs, recorder?.needs])
    this.planner = new Planner({ shape, policy, pool, kernels, rotary, basis }, heads, {
      trace: this.trace,
      from: from?.planner,
    })
    this.shared = {
      shape,
      kernels,
      pool,
      policy,
      needs: all,
      rotary,
      basis,
      observer: new Observer(kernels, pool, all),
      planner: this.planner,
      record: recorder && ((layer, observations) => recorder.record(layer, observations)),
    }
    this.layers = heads.map((layerHeads, i) => new Layer(this.shared, i, layerHeads, from?.layers[i]))
  }

  /**
   * The cache of a file that `save` wrote, as it was, but for pages that were on a tier: all start in memory. Throws CacheFormatError,
   * FingerprintMismatchError, PolicyMismatchError, MissingCodingError, and what the constructor throws; nothing is left then.
   */
  static async load(file: CacheSource | Uint8Array, options: LoadOptions): Promise<KvCache> {
    const { shape, policy = compose(), fingerprint, model = {}, codings = [] } = options
    checkShape(shape)
    const classesOf = checkedClasses(shape, policy, model)
    const checked = await checkCacheFile(cacheSource(file), { shape, policy, classesOf, fingerprint, codings })
    const cache = new KvCache(shape, { ...options, policy })
    try {
      await fillCache(checked, cache.parts)
    } catch (error) {
      await cache.dispose()
      throw error
    }
    return cache
  }

  /** Tokens that every layer has seen. */
  get length(): number {
    return Math.min(...this.layers.map((layer) => layer.seen))
  }

  /** The next token's position: `length`, or less under a policy that counts only what is held. */
  get position(): number {
    if (!this.policy.select.contiguous) return this.length
    return Math.max(...this.layers.flatMap((layer) => layer.heads.map((head) => head.rows)))
  }

  /** Tokens of a prompt that the policy wants to be read twice and that was read once: see `reconstruct`. Mostly 0. */
  get unread(): number {
    return this.planner.waiting
  }

  /**
   * Ends a prompt that waits for its second reading. `read` is called for each run of up to `chunk` of its tokens: it feeds them through
   * the model over this cache once more, after whatever asks the model to repeat them. The policy sees what they look at; nothing
   * of them stays. Then it plans. Throws ReconstructionError if nothing waits; after an error of `read` the prompt waits still.
   */
  async reconstruct(chunk: number, read: (first: number, count: number) => Promise<unknown>): Promise<void> {
    const tokens = this.unread
    if (tokens === 0) throw new ReconstructionError('No prompt waits for a second reading: feed one first.')
    const rows = this.layers.map((layer) => layer.heads.map((head) => head.rows))
    const reading = new SecondReading(rows, this.length, tokens)
    this.shared.reading = reading
    try {
      for (let first = 0; first < tokens; first += chunk) {
        reading.first = first
        reading.count = Math.min(chunk, tokens - first)
        await read(first, reading.count)
      }
    } finally {
      for (const layer of this.layers) layer.endReading(reading)
      this.shared.reading = undefined
    }
    await this.planner.planWaiting(this.length)
  }

  /** What a user should know about how the policy ran: a prompt shorter than the window that a method looks at. */
  get notices(): readonly string[] {
    return this.planner.notices
  }

  /** Throws ShapeError. */
  layer(index: number): LayerCache {
    return this.layerAt(index)
  }

  private layerAt(index: number): Layer {
    const layer = this.layers[index]
    if (!layer) throw new ShapeError(`There is no layer ${index}: this cache has ${this.layers.length}, from 0.`)
    return layer
  }

  /** Which rows a KV head of a layer holds now, and how each is stored. Throws ShapeError. */
  held(layer: number, head: number): HeldRows {
    const { heads } = this.layerAt(layer)
    if (!heads[head]) throw new ShapeError(`There is no KV head ${head}: this cache has ${heads.length} in a layer, from 0.`)
    return heldRows(heads[head], this.shape.headDim, this.pool.tierName)
  }

  /** Reads what another cache holds, as if it were the prompt that it has read. See RecordedPrompt. */
  async replay(source: KvCache, seen: readonly (readonly Observation[])[]): Promise<void> {
    for (const [i, layer] of this.layers.entries()) await layer.replay(source.layers[i], seen[i])
  }

  /** A second cache with the same content. Pages are shared until one of the two changes them. */
  fork(): KvCache {
    const { policy, kernels, model } = this
    return new KvCache(this.shape, { policy, kernels, model, trace: this.trace !== undefined }, this)
  }

  /**
   * The bytes of a cache file, of what the cache holds when the first of them are asked for; it may go on meanwhile. Pages on a tier
   * are read and stay there. Throws UnfinishedPromptError in the middle of a prompt.
   */
  async *save(options: SaveOptions): AsyncGenerator<Uint8Array, void, undefined> {
    if (!this.users.has(this)) throw new DisposedError('This cache was disposed: save it before.')
    checkSavable(this.parts)
    const facts = describeCache(this.parts, options)
    // A fork shares pages, and whoever changes one that is shared takes a copy.
    const still = this.fork()
    try {
      yield* writeCache(still.parts, facts, options.coding)
    } finally {
      await still.dispose()
    }
  }

  private get parts(): CacheParts {
    return { shared: this.shared, layers: this.layers }
  }

  /** Exact bytes now, the peak, and what a full cache would take. Pages shared with forks count in each. */
  ledger(): Ledger {
    let payload = 0,
      scales = 0,
      columns = 0,
      indices = 0,
      rows = 0,
      away = 0
    for (const layer of this.layers) {
      for (const head of layer.heads) {
        rows += head.rows
        columns += head.columns.bytes
        for (const list of head.lists) {
          indices += list.indexBytes
          for (const page of list.pages) {
            if (!page.address) away += page.bytes
            else {
              const codes = codeBytes(page.codec.layout, page.bytes, page.capacity, this.shape.headDim)
              payload += codes
              scales += page.bytes - codes
            }
          }
        }
      }
    }
    const { layers, kvHeads, headDim } = this.shape
    const full = this.length * layers * kvHeads * headDim * 2
    const tier = this.pool.tierName
    return {
      bytes: payload + scales + columns + indices,
      payload,
      scales,
      columns,
      indices,
      scratch: this.rotary?.bytes ?? 0,
      tiers: tier ? { [tier]: away } : {},
      peakBytes: this.pool.peak,
      rows,
      seen: this.length,
      fullF16Bytes: full * 2,
      fullF32Bytes: full * 4,
    }
  }

  /** Frees every page. Rejects with TierError if a tier could not be closed; memory is free even then. */
  async dispose(): Promise<void> {
    for (const layer of this.layers) layer.dispose()
    this.rotary?.dispose()
    this.shared.basis?.end()
    this.users.delete(this)
    if (this.users.size === 0) await this.pool.close()
  }
}

function codeBytes(
  layout: Head['segments'][0]['keys']['pages'][0]['codec']['layout'],
  bytes: number,
  capacity: number,
  headDim: number,
): number {
  return layout === 'opaque' || layout.kind !== 'affine' ? bytes : (capacity * headDim * layout.bits) / 8
}

/** How each head's rows are stored. A policy must fit the model before the first token, not at its thousandth. */
function checkedClasses(shape: CacheShape, policy: Policy, model: ModelParts): ClassesOf {
  const unfit = (why: string): never => {
    throw new UnsupportedPolicyError(`${policy.text} does not fit this model. ${why}`)
  }
  const { rope } = shape
  if (policy.needs.queryMoments !== undefined && rope === 'external') unfit('It looks at unrotated queries, and this model rotates itself.')
  if (policy.select.contiguous && rope === 'external') unfit('It rotates keys anew, and this model rotates itself.')
  if (policy.select.contiguous && rope !== 'external' && rope.scaling?.type === 'dynamic')
    unfit('It rotates keys anew, and the frequencies of this model change with the length.')
  const { layers, kvHeads, headDim } = shape
  const all = Array.from({ length: layers * kvHeads }, (_, i) =>
    storageClasses(policy.encode, { layer: Math.floor(i / kvHeads), head: i % kvHeads, layers, kvHeads, headDim }, model),
  )
  const storage = new Set(all.flat())
  if (policy.encode?.basis || [...storage].some(({ keys }) => keys.unrotated)) {
    if (rope === 'external') unfit('It packs keys before they are rotated, and this model rotates itself.')
    else if (rope.scaling?.type === 'dynamic')
      unfit('It rotates keys when they are read, and the frequencies of this model change with the length.')
  }
  for (const { keys, values } of storage) {
    for (const codec of [keys, values]) {
      try {
        codec.pageRows(shape.headDim)
      } catch (error) {
        unfit((error as Error).message)
      }
    }
  }
  return (layer, head) => all[layer * kvHeads + head]
}
