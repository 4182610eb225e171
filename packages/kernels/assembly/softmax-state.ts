/** max = -Infinity, sum = 0, output = 0, for `queries` queries. */
export function begin(state: usize, queries: usize, headDim: usize): void {
  for (let i: usize = 0; i < queries; i++) store<f32>(state + (i << 2), -Infinity)
  memory.fill(state + (queries << 2), 0, queries * (headDim + 1) << 2)
}

/** output / sum; zeros where the sum is 0. */
export function finish(state: usize, queries: usize, headDim: usize, out: usize): void {
  let from = state + (queries << 3)
  for (let i: usize = 0; i < queries; i++) {
    const sum = load<f32>(state + (queries + i << 2))
    const divisor = f32x4.splat(sum == 0 ? 1 : sum)
    for (const end = from + (headDim << 2); from < end; from += 16, out += 16) v128.store(out, f32x4.div(v128.load(from), divisor))
  }
}
