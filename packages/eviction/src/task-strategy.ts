import { TASK_EXAMPLES } from './task-examples.ts'

type Strategy = 'max' | 'average'
type Counts = Map<string, number>

/** Which words there are, numbers as one, and how the request begins and ends. */
function features(request: string): string[] {
  const words = request
    .toLowerCase()
    .replace(/\d+/g, '0')
    .match(/[a-z]+|0|\?/g)
  if (!words) return []
  return [...new Set([...words, `^${words[0]}`, `^${words[0]} ${words[1]}`, `$${words.at(-1)}`])]
}

/** In how many examples each feature occurs. */
export function train(examples: Record<Strategy, readonly string[]>): Record<Strategy, Counts> {
  const count = (requests: readonly string[]): Counts => {
    const counts: Counts = new Map()
    for (const feature of requests.flatMap(features)) counts.set(feature, (counts.get(feature) ?? 0) + 1)
    return counts
  }
  return { max: count(examples.max), average: count(examples.average) }
}

const TRAINED = train(TASK_EXAMPLES)

/**
 * The strategy of `windowkv` for a request: `max` if it asks for something in the text (localization), `average` if it asks about all of it
 * (aggregation). Naive Bayes over words, with add-one smoothing, trained on 64 requests of ours: a stand-in for the paper's BERT classifier,
 * whose weights were never published. Left out one by one, four of five of the 64 are told right. A request of which it knows nothing
 * counts as a question.
 */
export function taskStrategy(request: string, { max, average }: Record<Strategy, Counts> = TRAINED): Strategy {
  const sum = (counts: Counts): number => [...counts.values()].reduce((a, b) => a + b, 0)
  const totals = [sum(max), sum(average)]
  const known = new Set([...max.keys(), ...average.keys()])
  let evidence = 0
  for (const feature of features(request)) {
    if (!known.has(feature)) continue
    const likelihood = (counts: Counts, total: number): number => ((counts.get(feature) ?? 0) + 1) / (total + known.size)
    evidence += Math.log(likelihood(max, totals[0]) / likelihood(average, totals[1]))
  }
  return evidence >= 0 ? 'max' : 'average'
}
