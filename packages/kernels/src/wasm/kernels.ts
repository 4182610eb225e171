import { KernelUnavailableError } from '../errors.ts'
import type { WasmHeap } from '../heap.ts'
import { layoutCode, type Kernels, type Queries, type Rows } from '../kernels.ts'
import { weightsParts } from '../packed-weights.ts'
import { referenceKernels } from '../reference/kernels.ts'
import { tensorAccess } from '../tensor-access.ts'
import { instantiate, type KernelModule } from './module.ts'
import { bestBuild, type Build } from './relaxed-simd.ts'

/** Heads that the compiled loops take: a multiple of 16 channels, up to this many. Others run on the reference kernels. */
export const MAX_HEAD = 256
export const MAX_QUERIES = 12
/** What the compiled product calls them. */
const WEIGHT_KINDS = { f16: 16, bf16: 17, q8: 8, q4: 4 } as const
/** Addends, factors and totals; the logits of a call's queries; three blocks of 64 rows. See the kernels for what lies where. */
export const SCRATCH: number = 1024 + MAX_QUERIES * 272 + 3 * 64 * MAX_HEAD * 4

/**
 * The kernels in WebAssembly with SIMD, on a heap inside a wasm memory: tfjs's own (`tfjsHeap()`) or one of ours (`ownHeap()`).
 * Reserves 200 KiB of scratch there for good. Results equal the reference's to about 1e-6 relative. Throws KernelUnavailableError.
 */
export function wasmKernels(heap: WasmHeap): Kernels {
  return kernelsOfBuild(bestBuild(), heap)
}

/** The same of one build. Throws KernelUnavailableError. */
export function kernelsOfBuild(build: Build, heap: WasmHeap): Kernels {
  const wasm = instantiate(heap.memory, build)
  if (!wasm) throw new KernelUnavailableError('This machine runs no WebAssembly with SIMD. Use referenceKernels(heap).')
  return kernelsOf('wasm', build, heap, wasm, heap.reserve(SCRATCH))
}

/** Kernels that call the compiled loops, or what stands for them. `scratch`: the address of SCRATCH bytes. */
export function kernelsOf(name: string, build: Build, heap: WasmHeap, wasm: KernelModule, scratch: number): Kernels {
  const reference = referenceKernels(heap)
  const fits = (headDim: number): boolean => headDim % 16 === 0 && headDim <= MAX_HEAD
  /** Most products need no more room than there is already. */
  const withRoom = (bytes: number, use: (address: number) => void): void => {
    if (bytes <= SCRATCH) return use(scratch)
    const address = heap.malloc(bytes)
    use(address)
    heap.free(address)
  }
  const scaleOf = (rows: Rows, { headDim }: Queries): number => rows.logitScale / Math.sqrt(headDim)

  return {
    name: { plain: name, fused: `${name}, fused multiply-add`, relaxed: `${name}, relaxed SIMD` }[build],
    // What meets codes is rounded to 16 bits, or to 8. Property tests hold both.
    packedError: build === 'relaxed' ? 0.03 : 5e-4,
    heap,
    ...tensorAccess(heap),
    begin(state, queries) {
      if (fits(queries.headDim)) wasm.begin(state, queries.group * queries.count, queries.headDim)
      else reference.begin(state, queries)
    },
    attend(state, queries, rows, logits) {
      const { headDim, keyDim = headDim, address } = queries
      if (!fits(headDim) || !fits(keyDim)) return reference.attend(state, queries, rows, logits)
      const all = queries.group * queries.count
      for (let first = 0; first < all; first += MAX_QUERIES) {
        wasm.attend(
          state + first * 4,
          state + (all + first) * 4,
          state + all * 8 + first * headDim * 4,
          address + first * keyDim * 4,
          Math.min(MAX_QUERIES, all - first),
          keyDim,
          headDim,
          rows.keyTable,
          rows.valueTable,
          0,
          rows.rows,
          rows.bias,
          scaleOf(rows, queries),
          rows.logWeight,
          logits ? logits.address + first * logits.stride * 4 : 0,
          logits ? logits.stride : 0,
          scratch,
        )
      }
    },
    prefill(state, queries, rows, causal, blocks) {
      const { headDim, keyDim = headDim, address, group, count } = queries
      if (!fits(headDim) || !fits(keyDim)) return reference.prefill(state, queries, rows, causal, blocks)
      const all = group * count
      wasm.prefill(
        state,
        state + all * 4,
        state + all * 8,
        address,
        group,
        count,
        keyDim,
        headDim,
        rows.keyTable,
        rows.valueTable,
        rows.rows,
        rows.bias,
        scaleOf(rows, queries),
        rows.logWeight,
        causal,
        blocks?.size ?? 0,
        blocks?.offsets ?? 0,
        blocks?.indices ?? 0,
        scratch,
      )
    },
    finish(state, queries, out) {
      if (fits(queries.headDim)) wasm.finish(state, queries.group * queries.count, queries.headDim, out)
      else reference.finish(state, queries, out)
    },
    probabilities(state, queries, logits, rows) {
      const all = queries.group * queries.count
      const { f32 } = heap
      for (let i = 0; i < all; i++)
        wasm.probabilities(logits.address + i * logits.stride * 4, rows, f32[(state >>> 2) + i], f32[(state >>> 2) + all + i])
    },
    logits(queries, rows, causal, into) {
      const { headDim, keyDim = headDim, address, group, count } = queries
      if (!fits(keyDim)) return reference.logits(queries, rows, causal, into)
      wasm.logits(
        address,
        group,
        count,
        keyDim,
        rows.keyTable,
        0,
        rows.rows,
        rows.bias,
        scaleOf(rows, queries),
        rows.logWeight,
        causal,
        into.address,
        into.stride,
        scratch,
      )
    },
    columnSums(state, queries, rows, causal, sums) {
      const { headDim, keyDim = headDim, address, group, count } = queries
      if (!fits(keyDim)) return reference.columnSums(state, queries, rows, causal, sums)
      wasm.columnSums(
        state,
        state + group * count * 4,
        address,
        group,
        count,
        keyDim,
        rows.keyTable,
        rows.rows,
        0,
        rows.rows,
        rows.bias,
        scaleOf(rows, queries),
        rows.logWeight,
        causal,
        sums,
        scratch,
      )
    },
    columnMaxima(state, queries, rows, causal, maxima) {
      const { headDim, keyDim = headDim, address, group, count } = queries
      if (!fits(keyDim)) return reference.columnMaxima(state, queries, rows, causal, maxima)
      wasm.columnMaxima(
        state,
        state + group * count * 4,
        address,
        group,
        count,
        keyDim,
        rows.keyTable,
        rows.rows,
        0,
        rows.rows,
        rows.bias,
        scaleOf(rows, queries),
        rows.logWeight,
        causal,
        maxima,
        scratch,
      )
    },
    softmax(address, count, stride, rows) {
      for (let i = 0; i < count; i++) wasm.softmax(address + i * stride * 4, rows)
    },
    gram(from, count, width, into) {
      if (width % 4 === 0) wasm.gram(from, count, width, into)
      else reference.gram(from, count, width, into)
    },
    matmul(a, b, into, rows, inner, columns) {
      if (columns % 4 !== 0) return reference.matmul(a, b, into, rows, inner, columns)
      withRoom(inner * 32, (panel) => wasm.matmul(a, rows, inner, b.address, b.stride, columns, into.address, into.stride, panel))
    },
    linear(x, rows, weights, into) {
      const { kind, inputs, outputs, address, gain = 0 } = weights
      const { scales, minima } = weightsParts(weights)
      withRoom(inputs * 32, (panel) =>
        wasm.linear(x, rows, inputs, WEIGHT_KINDS[kind], address, scales, minima, outputs, into, outputs, gain, panel),
      )
    },
    rmsNorm(x, rows, width, epsilon, into) {
      if (width % 4 === 0) wasm.rmsNorm(x, rows, width, epsilon, into)
      else reference.rmsNorm(x, rows, width, epsilon, into)
    },
    swiglu(gate, up, count) {
      if (count % 4 === 0) wasm.swiglu(gate, up, count)
      else reference.swiglu(gate, up, count)
    },
    rope(from, into, count, headDim, cos, sin) {
      if (headDim % 8 === 0) wasm.rope(from, into, count, headDim, cos, sin)
      else reference.rope(from, into, count, headDim, cos, sin)
    },
    gather: (fromTable, _, intoTable, __, indices, count, base, width) => wasm.gather(fromTable, intoTable, indices, count, base, width),
    quantize(from, rows, headDim, layout, page, capacity) {
      if (fits(headDim)) wasm.quantize(from, rows, headDim, layoutCode(layout), page, capacity, scratch)
      else reference.quantize(from, rows, headDim, layout, page, capacity)
    },
    dequantize(page, capacity, layout, start, rows, headDim, into) {
      if (fits(headDim)) wasm.dequantize(page, capacity, layoutCode(layout), start, rows, headDim, into)
      else reference.dequantize(page, capacity, layout, start, rows, headDim, into)
    },
    isFinite: (address, count) => wasm.allFinite(address, count) !== 0,
  }
}
