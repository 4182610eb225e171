import { compose, isReplayable, type Ledger, parsePolicyText, type Policy, RecordedPrompt } from '@kvfold/kv-core'
import { cachegenCoding, chooseLevels } from '@kvfold/quant'
import { UsageError } from './errors.ts'
import type { Loaded } from './load.ts'
import { registry } from './registry.ts'

const LEVELS = [1, 2, 3] as const

/** When a cache must have arrived, and over what; or the document's text, and that must be read again. */
export interface Deadline {
  /** In seconds. */
  deadline: number
  /** In bits per second. */
  bandwidth: number
  textBytes: number
}

/** A document's cache at one of CacheGen's levels, as a coded file, and the seconds that it takes to send. */
export interface LeveledFile {
  policy: Policy
  level: number
  chunks: readonly Uint8Array[]
  bytes: number
  seconds: number
  ledger: Ledger
  notices: readonly string[]
}

/** How a document goes to whoever needs its cache. */
export interface Fit {
  files: readonly LeveledFile[]
  /** The one to send; undefined if none is in time and the text is sooner than any. */
  taken: LeveledFile | undefined
  /** False if even that comes too late. */
  inTime: boolean
  prefillMs: number
  /** Until the text is sent, and read again as fast as it was here. */
  textSeconds: number
}

/** The policy at each level. Throws UsageError if it names one, or cannot be made from a prompt that is read once; PolicyConflictError if it packs otherwise. */
export function leveledPolicies(text: string): Policy[] {
  const presets = parsePolicyText(text)
  if (!presets.some(({ method }) => method === 'cachegen')) presets.push({ method: 'cachegen', params: {} })
  if (presets.some(({ method, params }) => method === 'cachegen' && 'level' in params))
    throw new UsageError('--deadline chooses the level itself: leave it out of the policy.')
  const policies = LEVELS.map((level) =>
    compose(...presets.map(({ method, params }) => registry.get(method)(method === 'cachegen' ? { ...params, level } : params))),
  )
  if (!policies.every(isReplayable))
    throw new UsageError(`"${text}" changes how a document is read, so it would be read for each level: leave --deadline out.`)
  return policies
}

/** Reads a document once, makes its file at each level and says which of them to send. */
export async function fitDeadline(
  { model, kernels, name }: Loaded,
  policies: readonly Policy[],
  tokens: ArrayLike<number>,
  { deadline, bandwidth, textBytes }: Deadline,
  onProgress: (progress: { done: number; total: number }) => void,
): Promise<Fit> {
  const recorded = new RecordedPrompt(model.shape, policies, kernels, model)
  try {
    const start = performance.now()
    await model.forward(tokens, recorded.cache, { logits: 'none', onProgress })
    const prefillMs = performance.now() - start
    const files: LeveledFile[] = []
    for (const [i, policy] of policies.entries()) {
      const cache = await recorded.replay(policy)
      try {
        const chunks: Uint8Array[] = []
        const options = { fingerprint: model.fingerprint, info: { model: name }, coding: cachegenCoding }
        for await (const chunk of cache.save(options)) chunks.push(chunk)
        const bytes = chunks.reduce((sum, { length }) => sum + length, 0)
        const ledger = cache.ledger()
        files.push({ policy, level: LEVELS[i], chunks, bytes, seconds: (8 * bytes) / bandwidth, ledger, notices: cache.notices })
      } finally {
        await cache.dispose()
      }
    }
    const textSeconds = prefillMs / 1000 + (8 * textBytes) / bandwidth
    const question = { chunks: [files.map(({ bytes }) => bytes)], bandwidth, deadline, recompute: textSeconds, slack: 'carried' } as const
    const [best] = chooseLevels(question).levels
    const smallest = files[0].seconds < textSeconds ? files[0] : undefined
    return { files, taken: best === 'text' ? smallest : files[best - 1], inTime: best !== 'text', prefillMs, textSeconds }
  } finally {
    await recorded.cache.dispose()
  }
}
