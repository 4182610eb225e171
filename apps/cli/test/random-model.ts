import { createRandom, type CacheShape, type ModelParts } from '@kvfold/kv-core'
import { calibrateLayer } from '@kvfold/quant'

/** What policies must know of a model, of random weights that are the same in each layer; inputs are as wide as the queries. */
export function randomModel({ queryHeads, kvHeads, headDim }: CacheShape): ModelParts {
  const random = createRandom(5)
  const weights = (): Float32Array =>
    Float32Array.from({ length: queryHeads * headDim * kvHeads * headDim }, () => (random() + random() + random() - 1.5) / 8)
  const [keys, values] = [weights(), weights()]
  const calibration = calibrateLayer(keys, values, kvHeads * headDim, headDim)
  return { projections: () => ({ keys, values }), calibration: () => calibration }
}
