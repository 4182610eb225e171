/** Log-probabilities of logits, in float64. */
export function logSoftmax(logits: Float32Array): Float64Array {
  let max = -Infinity
  for (const logit of logits) if (logit > max) max = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - max)
  const shift = max + Math.log(sum)
  return Float64Array.from(logits, (logit) => logit - shift)
}

/** Kullback-Leibler divergence KL(p || q) in nats, from log-probabilities. 0 means that q says what p says. */
export function klDivergence(p: Float64Array, q: Float64Array): number {
  let sum = 0
  for (let i = 0; i < p.length; i++) sum += Math.exp(p[i]) * (p[i] - q[i])
  return Math.max(0, sum)
}

/** Share of the references found among the words of an answer. */
export function recall(answer: string, references: readonly string[]): number {
  const words = new Set(answer.split(/[\s,]+/))
  return references.filter((reference) => words.has(reference)).length / references.length
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
