import { randomUniform, tidy, type Tensor2D } from '@tensorflow/tfjs-core'
import { apply, type Linear } from './linear.ts'
import { linears } from './layer.ts'
import { DEFAULT_CHUNK, type LlamaModel } from './model.ts'
import { parametersOf } from './parameters.ts'

export interface MatmulTime {
  /** Time of the matrix products alone. */
  milliseconds: number
  /** Two per multiply-add. */
  operations: number
}

/**
 * Runs only the matrix products of a forward pass over `n` tokens (chunked alike, logits of the last token), on random
 * inputs, with this model's weights: the floor under a prefill's time. Warm caches first by running it once with a small n.
 */
export async function measureMatmuls(model: LlamaModel, n: number, options: { chunk?: number } = {}): Promise<MatmulTime> {
  const { layers, head } = parametersOf(model)
  const chunk = options.chunk ?? DEFAULT_CHUNK
  const inputs = new Map<string, Tensor2D>()
  const input = (rows: number, width: number): Tensor2D => {
    const key = `${rows}x${width}`
    if (!inputs.has(key)) inputs.set(key, randomUniform([rows, width], -1, 1))
    return inputs.get(key)!
  }
  let operations = 0
  const product = (rows: number, linear: Linear): void => {
    const { inputs: width, outputs } = linear
    operations += 2 * rows * width * outputs
    tidy(() => void apply(linear, input(rows, width)))
  }
  const products = layers.flatMap(linears)
  try {
    for (const rows of new Set([Math.min(n, chunk), n % chunk || chunk, 1]))
      for (const linear of [...products, head]) input(rows, linear.inputs)
    const start = performance.now()
    for (const linear of products) for (let done = 0; done < n; done += chunk) product(Math.min(chunk, n - done), linear)
    operations += 2 * head.inputs * head.outputs
    const last = tidy(() => apply(head, input(1, head.inputs)))
    // Reading a result waits for a GPU to finish.
    await last.data()
    last.dispose()
    return { milliseconds: performance.now() - start, operations }
  } finally {
    for (const tensor of inputs.values()) tensor.dispose()
  }
}
