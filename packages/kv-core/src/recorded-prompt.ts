import type { Kernels } from '@kvfold/kernels'
import type { Observation } from './axes.ts'
import { KvCache } from './cache.ts'
import { UnsupportedPolicyError } from './errors.ts'
import type { ModelParts } from './model-parts.ts'
import { mergeNeeds, type Policy } from './policy.ts'
import type { CacheShape } from './shape.ts'

/**
 * A prompt that is read once for many policies. Until rows leave, every policy reads a prompt alike: so its rows, and what the policies
 * want to see of it, are kept, and each policy's cache is made from them. The evaluation stands on it.
 */
export class RecordedPrompt {
  /** Feed the prompt to it, in one `forward`. A full cache. */
  readonly cache: KvCache
  private readonly kernels: Kernels
  private readonly model: ModelParts | undefined
  private readonly seen: Observation[][] = []

  constructor(shape: CacheShape, policies: readonly Policy[], kernels: Kernels, model?: ModelParts) {
    this.kernels = kernels
    this.model = model
    const needs = mergeNeeds(policies.filter(isReplayable).map((policy) => policy.needs))
    const record = (layer: number, observations: Observation[]): void => {
      this.seen[layer] ??= observations
    }
    this.cache = new KvCache(shape, { kernels }, undefined, { needs, record })
  }

  /**
   * A cache under one of the policies, as if it had read the prompt itself: the same rows, bytes and peak (but for queries and attention
   * at work). If a policy reads prompts twice, the recording must have been. Throws UnsupportedPolicyError unless `isReplayable`.
   */
  async replay(policy: Policy): Promise<KvCache> {
    if (!isReplayable(policy))
      throw new UnsupportedPolicyError(`${policy.text} changes how a prompt is read: let it read the prompt itself.`)
    const cache = new KvCache(this.cache.shape, { policy, kernels: this.kernels, model: this.model })
    try {
      await cache.replay(this.cache, this.seen)
    } catch (error) {
      await cache.dispose()
      throw error
    }
    return cache
  }
}

/** True for a policy under which a prompt's own attention is the full cache's. */
export function isReplayable(policy: Policy): boolean {
  return !policy.attention && !policy.trigger?.chunk
}
