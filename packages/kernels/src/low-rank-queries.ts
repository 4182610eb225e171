import type { Kernels, Queries } from './kernels.ts'

/**
 * Queries for keys of which only `rank` coefficients of a basis are kept, in any layout: key = basis * coefficients, `basis` being the address of float32
 * `[headDim][rank]`. Since q * (basis * c) = (q * basis) * c, no key is ever built. Not for keys that are yet to be rotated. `release`
 * frees the queries.
 */
export function lowRankQueries(kernels: Kernels, queries: Queries, basis: number, rank: number): { queries: Queries; release(): void } {
  const { heap } = kernels
  const { address: from, group, count, headDim } = queries
  const size = group * count * rank
  const address = heap.malloc(size * 4)
  heap.f32.fill(0, address >>> 2, (address >>> 2) + size)
  const stride = rank
  kernels.matmul(from, { address: basis, stride }, { address, stride }, group * count, headDim, rank)
  return { queries: { ...queries, address, keyDim: rank }, release: () => heap.free(address) }
}
