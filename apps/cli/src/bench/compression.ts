import { heldOutDocuments } from '@kvfold/eval/node'
import { compose, KvCache, type Policy } from '@kvfold/kv-core'
import type { Loaded } from '../load.ts'
import { registry } from '../registry.ts'
import { benchRow, type BenchRow } from './compare.ts'

const ROUNDS = 3

/** What a quarter of the rows costs to choose: a prompt under every method that takes a budget, against the same prompt under none. */
export async function benchCompression(
  loaded: Loaded,
  tokens: number,
  onProgress: (done: number, total: number) => void,
): Promise<BenchRow[]> {
  const prompt = loaded.tokenizer.encode((await heldOutDocuments()).join('\n\n').slice(0, 8 * tokens)).slice(0, tokens)
  const policies = registry
    .list()
    .filter(({ method }) => 'budget' in method.params.shape)
    .map(({ method }) => compose(method({ budget: '25%' })))
  const times = new Map<Policy | undefined, number[]>([undefined, ...policies].map((policy) => [policy, []]))
  const total = (ROUNDS + 1) * times.size
  let done = 0
  // All in turn, the first round to warm up: what disturbs the machine disturbs all.
  for (let round = -1; round < ROUNDS; round++) {
    for (const [policy, own] of times) {
      const time = await prefill(loaded, policy, prompt)
      if (round >= 0) own.push(time)
      onProgress(++done, total)
    }
  }
  return policies.map((policy) =>
    benchRow(
      `prefill of ${tokens.toLocaleString('en')} tokens: ${policy.text}`,
      goalOf(policy, tokens),
      times.get(policy)!,
      times.get(undefined)!,
    ),
  )
}

/**
 * A tenth on top, and the share of the prompt whose queries look again; half for a second pass over all attention (column sums), and no limit
 * for a second reading or for folding.
 */
function goalOf({ needs, fold }: Policy, tokens: number): number {
  if (needs.reconstruction || fold) return Infinity
  return needs.columnSums ? 1.5 : Number((1.1 + (needs.windowAttention ?? 0) / tokens).toFixed(2))
}

async function prefill({ model, kernels }: Loaded, policy: Policy | undefined, prompt: readonly number[]): Promise<number> {
  const cache = new KvCache(model.shape, { policy, kernels, model })
  const start = performance.now()
  await model.forward(prompt, cache)
  const time = performance.now() - start
  await cache.dispose()
  return time
}
