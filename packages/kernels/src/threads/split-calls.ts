import { MAX_HEAD, MAX_QUERIES, SCRATCH } from '../wasm/kernels.ts'
import type { KernelModule } from '../wasm/module.ts'
import type { Pool } from './pool.ts'

/** Rows of a tile: parts begin at multiples of it, so that they are computed as they would be in one piece. */
const BLOCK = 64
/** Multiply-adds below which a call is not worth splitting: about ten microseconds of one thread, where splitting costs three. */
const WORTH = 160_000
/** Queries of a prompt that share a part's transposed keys. */
const QUERIES = 64
/** Parts for each thread where they take unequal time. */
const UNEVEN = 8

/** Bytes of the softmax state of a part of some rows. */
const STATE = MAX_QUERIES * (MAX_HEAD + 2) * 4

/** The compiled loops with those that take time split among threads. `states`: room for `partStates(threads)` bytes. */
export function splitCalls(own: KernelModule, pool: Pool, states: number): KernelModule {
  const { threads } = pool
  pool.scratch(SCRATCH)

  /** Cuts the rows `start .. end` in order; the earliest rows, which most queries see, are taken first. */
  const rowParts = (start: number, end: number, parts: number, add: (from: number, to: number) => void): void => {
    const size = multiple((end - start) / parts, BLOCK)
    const last = start + Math.floor((end - start - 1) / size) * size
    for (let from = last; from >= start; from -= size) add(from, Math.min(end, from + size))
  }
  /** Cuts columns of a product, eights of them together. */
  const columnParts = (columns: number, parts: number, add: (from: number, to: number) => void): void => {
    const size = multiple(columns / parts, 8)
    for (let from = 0; from < columns; from += size) add(from, Math.min(columns, from + size))
  }
  const reduceColumns =
    (name: 'columnSums' | 'columnMaxima'): KernelModule['columnSums'] =>
    (...args) => {
      const [max, sum, queries, group, count, headDim, keyTable, rows, start, end, ...rest] = args
      if (group * count * headDim * (end - start) < WORTH) return own[name](...args)
      rowParts(start, end, threads * UNEVEN, (from, to) =>
        pool.add(name, [max, sum, queries, group, count, headDim, keyTable, rows, from, to, ...rest]),
      )
      pool.run()
    }

  return {
    ...own,
    attend(...args) {
      const [max, sum, output, queries, count, keyDim, headDim, keyTable, valueTable, start, rows, ...rest] = args
      if (count * (keyDim + headDim) * (rows - start) < WORTH) return own.attend(...args)
      let parts = 0
      const stateOf = (part: number): number => states + (part - 1) * STATE
      rowParts(start, rows, threads, (from, to) => {
        const state = stateOf(parts)
        if (parts > 0) own.begin(state, count, headDim)
        const into = parts > 0 ? [state, state + count * 4, state + count * 8] : [max, sum, output]
        pool.add('attend', [...into, queries, count, keyDim, headDim, keyTable, valueTable, from, to, ...rest])
        parts++
      })
      pool.run()
      for (let part = 1; part < parts; part++) own.merge(max, sum, output, stateOf(part), count, headDim)
    },
    prefill(...args) {
      const [
        max,
        sum,
        output,
        queries,
        group,
        count,
        keyDim,
        headDim,
        keyTable,
        valueTable,
        rows,
        bias,
        scale,
        logWeight,
        causal,
        ...sparse
      ] = args
      if (group * count * (keyDim + headDim) * rows < WORTH) return own.prefill(...args)
      const [size, offsets, indices, scratch] = sparse
      const blocks = size > 0 ? Math.ceil(count / size) + 1 : 0
      // Fours of queries, and whole blocks of them, are computed together.
      const wish = Math.max(Math.min(QUERIES, count / threads), (count * group) / (threads * UNEVEN))
      const step = multiple(wish, Math.max(4, size))
      // Of a causal prompt, the last queries see most: they are taken first.
      for (let first = 0; first < count; first += step) {
        const seen = causal < 0 ? causal : causal + first
        for (let head = 0; head < group; head++) {
          const at = head * count + first
          const part = [max + at * 4, sum + at * 4, output + at * headDim * 4, queries + at * keyDim * 4, 1, Math.min(step, count - first)]
          const list = size > 0 ? offsets + (head * blocks + first / size) * 4 : 0
          pool.add('prefill', [
            ...part,
            keyDim,
            headDim,
            keyTable,
            valueTable,
            rows,
            bias,
            scale,
            logWeight,
            seen,
            size,
            list,
            indices,
            scratch,
          ])
        }
      }
      pool.run()
    },
    logits(...args) {
      const [queries, group, count, headDim, keyTable, start, rows, ...rest] = args
      if (group * count * headDim * (rows - start) < WORTH) return own.logits(...args)
      rowParts(start, rows, threads, (from, to) => pool.add('logits', [queries, group, count, headDim, keyTable, from, to, ...rest]))
      pool.run()
    },
    columnSums: reduceColumns('columnSums'),
    columnMaxima: reduceColumns('columnMaxima'),
    matmul(...args) {
      const [a, rows, inner, b, bStride, columns, into, intoStride, scratch] = args
      if (rows * inner * columns < WORTH) return own.matmul(...args)
      pool.scratch(inner * 32)
      columnParts(columns, threads, (from, to) =>
        pool.add('matmul', [a, rows, inner, b + from * 4, bStride, to - from, into + from * 4, intoStride, scratch]),
      )
      pool.run()
    },
    linear(...args) {
      const [x, rows, inputs, kind, codes, scales, minima, outputs, into, ...rest] = args
      // Halves take twice as long as codes.
      if (rows * inputs * outputs * (kind > 8 ? 2 : 1) < WORTH) return own.linear(...args)
      pool.scratch(inputs * 32)
      const bytes = (inputs * Math.min(kind, 16)) / 8
      columnParts(outputs, threads, (from, to) => {
        const scale = (from * inputs) / 16
        const part = [codes + from * bytes, scales + scale, minima + scale, to - from, into + from * 4]
        pool.add('linear', [x, rows, inputs, kind, ...part, ...rest])
      })
      pool.run()
    },
  }
}

/** Bytes of the states of all parts of a call but one. */
export function partStates(threads: number): number {
  return (threads - 1) * STATE
}

function multiple(wish: number, of: number): number {
  return Math.max(1, Math.ceil(wish / of)) * of
}
