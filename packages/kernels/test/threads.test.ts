import '@tensorflow/tfjs-backend-wasm'
import { memory, setBackend, tensor, type Tensor } from '@tensorflow/tfjs-core'
import {
  type Borrowed,
  type Kernels,
  KernelArgumentError,
  KernelThreadError,
  KernelUnavailableError,
  layoutCode,
  ownHeap,
  PAGE_ENTRY,
  putPackedWeights,
  softmaxStateBytes,
  type ThreadedKernels,
  threadedKernels,
  weightsBytes,
} from '@kvfold/kernels'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWorker } from '../src/threads/start-worker.ts'
import { threadedOfBuild } from '../src/threads/threaded-kernels.ts'
import { kernelsOfBuild } from '../src/wasm/kernels.ts'
import type { Build } from '../src/wasm/relaxed-simd.ts'
import { builds } from './builds.ts'
import { get, numbers, put, relativeError, settings, type Setting, write } from './random-rows.ts'

/** With one thread, two and three, and two of the other build; one thread's kernels beside them on the same memory. */
let sets: { threaded: ThreadedKernels; plain: Kernels }[]
const kinds: [build: Build, threads: number][] = [
  ['plain', 1],
  ['plain', 2],
  ['plain', 3],
  ...builds.filter((build) => build !== 'plain').map((build): [Build, number] => [build, 2]),
]

beforeAll(async () => {
  sets = []
  for (const [build, threads] of kinds) {
    const threaded = await threadedOfBuild(build, { threads })
    sets.push({ threaded, plain: kernelsOfBuild(build, threaded.heap) })
  }
})
afterAll(() => Promise.all(sets.map(({ threaded }) => threaded.dispose())))

/** What both leave in `bytes` of zeros. Frees all that was taken. */
function both(
  which: number,
  prepare: (kernels: Kernels) => { bytes: number; run: (kernels: Kernels, at: number) => void },
): Float32Array[] {
  const { threaded, plain } = sets[which]
  const { heap } = plain
  const { bytes, run } = prepare(plain)
  return [threaded, plain].map((kernels) => {
    const at = heap.malloc(bytes)
    heap.f32.fill(0, at >>> 2, (at + bytes) >>> 2)
    run(kernels, at)
    return get(heap, at, bytes / 4)
  })
}

const which = fc.nat(kinds.length - 1)
const causalOf = ({ rows, count }: Setting, kind: number): number => [-1, 0, Math.max(0, rows - count), 7][kind]

describe('threads compute what one computes', () => {
  it('attend, over any mix of layouts and any number of segments', () => {
    const twoSegments = settings({ rows: 600, count: 4 }).chain((setting) =>
      settings({ rows: 300, count: 1 }, fc.constant(setting)).map((more): [Setting, Setting] => [setting, more]),
    )
    fc.assert(
      fc.property(which, twoSegments, fc.boolean(), (set, [setting, more], wantLogits) => {
        const [a, b] = both(set, (kernels) => {
          const { queries, rows } = write(kernels, setting)
          const second = write(kernels, more).rows
          const state = softmaxStateBytes(queries)
          return {
            bytes: state + queries.group * queries.count * rows.rows * 4,
            run(own, at) {
              own.begin(at, queries)
              own.attend(at, queries, rows, wantLogits ? { address: at + state, stride: rows.rows } : undefined)
              own.attend(at, queries, second)
              own.finish(at, queries, at + queries.group * queries.count * 8)
            },
          }
        })
        // Each thread's packed keys refer to the scales of its own first page, so that 16 bits are rounded otherwise: as far as one thread may be from doubles. Of 8 bits, one that
        // lies between two units may be rounded the other way: it is a 127th of a page's largest weight, and codes are half a range from their middle.
        expect(relativeError(a, b)).toBeLessThan(kinds[set][0] === 'relaxed' ? 1 / 127 : 5e-4)
      }),
      { numRuns: 60 },
    )
  })

  it('prefill and what comes after it, to the bit', () => {
    fc.assert(
      fc.property(which, settings({ rows: 240, count: 90 }), fc.nat(3), fc.boolean(), (set, setting, kind, values) => {
        const [a, b] = both(set, (kernels) => {
          const { queries, rows } = write(kernels, setting)
          const causal = causalOf(setting, kind)
          const state = softmaxStateBytes(queries),
            columns = queries.group * rows.rows * 4
          return {
            bytes: state + 2 * columns + columns * queries.count,
            run(own, at) {
              own.begin(at, queries)
              own.prefill(at, queries, values ? rows : { ...rows, valueTable: 0 }, causal)
              own.columnSums(at, queries, rows, causal, at + state)
              own.columnMaxima(at, queries, rows, causal, at + state + columns)
              own.logits(queries, rows, causal, { address: at + state + 2 * columns, stride: rows.rows })
            },
          }
        })
        expect(a).toEqual(b)
      }),
      { numRuns: 30 },
    )
  })

  it('block-sparse prefill, to the bit', () => {
    fc.assert(
      fc.property(
        which,
        settings({ rows: 200, count: 200 }),
        fc.constantFrom(16, 32, 64, 128),
        fc.integer(),
        (set, setting, size, seed) => {
          const [a, b] = both(set, (kernels) => {
            const { queries, rows } = write(kernels, setting)
            const coins = numbers(500, seed)
            const offsets: number[] = [],
              indices: number[] = []
            for (let head = 0; head < queries.group; head++) {
              offsets.push(indices.length)
              for (let block = 0; block * size < queries.count; block++) {
                for (let row = 0; row * size < rows.rows; row++) if (coins[(indices.length + 7 * row + block) % 500] > 0) indices.push(row)
                offsets.push(indices.length)
              }
            }
            const address = kernels.heap.malloc((offsets.length + indices.length) * 4)
            kernels.heap.i32.set([...offsets, ...indices], address >>> 2)
            const blocks = { size, offsets: address, indices: address + offsets.length * 4 }
            return {
              bytes: softmaxStateBytes(queries),
              run(own, at) {
                own.begin(at, queries)
                own.prefill(at, queries, rows, Math.max(0, rows.rows - queries.count), blocks)
              },
            }
          })
          expect(a).toEqual(b)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('products, to the bit', () => {
    const sizes = fc.record({
      kind: fc.constantFrom('f16' as const, 'bf16' as const, 'q8' as const, 'q4' as const),
      rows: fc.constantFrom(1, 2, 4, 5, 30),
      blocks: fc.constantFrom(1, 4, 9, 250),
      eights: fc.constantFrom(1, 2, 15, 40),
      columns: fc.integer({ min: 1, max: 60 }).map((n) => 4 * n),
      gained: fc.boolean(),
    })
    fc.assert(
      fc.property(which, sizes, (set, { kind, rows, blocks, eights, columns, gained }) => {
        const [a, b] = both(set, (kernels) => {
          const { heap } = kernels
          const shape = { kind, inputs: blocks * 32, outputs: eights * 8 }
          const { inputs, outputs } = shape
          const weights = { ...shape, gain: gained ? put(heap, numbers(inputs, 2)) : undefined, address: heap.malloc(weightsBytes(shape)) }
          for (let output = 0; output < outputs; output++) {
            const scales = numbers(blocks, 3 * output + 1)
            const codes = numbers(inputs, output).map((x) => Math.round((x + 3) * (kind === 'q4' ? 2.5 : kind === 'q8' ? 20 : 2500)))
            putPackedWeights(heap, weights, output, { codes, scales, minima: scales })
          }
          const x = put(heap, numbers(rows * inputs, 4)),
            matrix = put(heap, numbers(inputs * columns, 5))
          return {
            bytes: rows * (outputs + columns) * 4,
            run(own, at) {
              own.linear(x, rows, weights, at)
              const into = { address: at + rows * outputs * 4, stride: columns }
              own.matmul(x, { address: matrix, stride: columns }, into, rows, inputs, columns)
            },
          }
        })
        expect(a).toEqual(b)
      }),
      { numRuns: 60 },
    )
  })
})

/** A segment of `rows` zeros on one page each, but for what `change` does to the keys. */
function segment({ heap }: Kernels, rows: number, change?: (keys: Float32Array) => void): Parameters<Kernels['attend']>[2] {
  const data = new Float32Array(rows * 64).fill(1)
  const values = put(heap, data)
  change?.(data)
  const keys = put(heap, data)
  const table = heap.malloc(2 * PAGE_ENTRY * 4)
  for (const [i, address] of [keys, values].entries())
    heap.i32.set([address, rows, layoutCode({ kind: 'raw32' }), rows], (table >>> 2) + i * PAGE_ENTRY)
  const valueTable = table + PAGE_ENTRY * 4
  return { keyTable: table, keyPages: 1, valueTable, valuePages: 1, rows, bias: 0, logitScale: 1, logWeight: 0 }
}

describe('threads', () => {
  const attended = (kernels: Kernels, rows: ReturnType<typeof segment>): Float32Array => {
    const queries = { address: put(kernels.heap, numbers(3 * 64, 1)), group: 3, count: 1, headDim: 64 }
    const state = kernels.heap.malloc(softmaxStateBytes(queries)),
      out = kernels.heap.malloc(3 * 64 * 4)
    kernels.begin(state, queries)
    kernels.attend(state, queries, rows)
    kernels.finish(state, queries, out)
    return get(kernels.heap, out, 3 * 64)
  }

  it('hand on a NaN, wherever it is', () => {
    const { threaded } = sets[2]
    expect(attended(threaded, segment(threaded, 999)).every((x) => Math.abs(x - 1) < 1e-5)).toBe(true)
    for (const row of [0, 500, 998]) {
      const rows = segment(threaded, 999, (keys) => (keys[row * 64 + 3] = NaN))
      expect(attended(threaded, rows).every(Number.isNaN)).toBe(true)
    }
  })

  it('see memory that the heap takes while they live', () => {
    const { threaded } = sets[1]
    const { heap } = threaded
    const before = heap.f32.length
    while (heap.f32.length === before) heap.malloc(2 ** 20)
    heap.malloc(2 ** 20)
    const rows = segment(threaded, 5000)
    expect(attended(threaded, rows).every((x) => Math.abs(x - 1) < 1e-5)).toBe(true)
  })

  it('tell of a call that stopped, and take the next', () => {
    const { threaded } = sets[1]
    const rows = segment(threaded, 999)
    const { heap } = threaded
    heap.i32[rows.keyTable >>> 2] = -(2 ** 20)
    expect(() => attended(threaded, rows)).toThrow(KernelThreadError)
    expect(attended(threaded, segment(threaded, 999)).every((x) => Math.abs(x - 1) < 1e-5)).toBe(true)
  })

  it('leave nothing when they are disposed', async () => {
    const threaded = await threadedKernels({ threads: 3 })
    const rows = segment(threaded, 999)
    attended(threaded, rows)
    const { live } = threaded.heap
    await threaded.dispose()
    await threaded.dispose()
    expect(threaded.heap.live).toBeLessThan(live)
    expect(() => attended(threaded, rows)).toThrow(KernelThreadError)
    const other = await threadedKernels({ threads: 2 })
    await other.dispose()
    expect(other.heap.live).toBe(0)
  })

  it('are refused where they cannot be', async () => {
    await expect(threadedKernels({ threads: 0 })).rejects.toThrow(KernelArgumentError)
    await expect(threadedKernels({ threads: 1.5 })).rejects.toThrow(KernelArgumentError)
    // A memory that is not shared cannot be handed over.
    const start = { memory: ownHeap().memory, module: undefined, multipliesBytes: 0, names: [], control: 0, tasks: 0, thread: 1, spin: 1 }
    await expect(startWorker(start)).rejects.toThrow(KernelUnavailableError)
    await expect(startWorker({ ...start, memory: sets[1].threaded.heap.memory })).rejects.toThrow(KernelUnavailableError)
  })

  it("read and make tensors of tfjs's wasm backend by copying, leaking none", async () => {
    await setBackend('wasm')
    const { heap, borrow, output } = sets[1].threaded
    const live = heap.live,
      tensors = memory().numTensors
    const input = tensor(numbers(96, 5), [2, 3, 16], 'float32')
    const { address, release } = borrow(input) as Borrowed
    expect(get(heap, address, 96)).toEqual(numbers(96, 5))
    const made = output(input, [3, 32])
    heap.f32.set(numbers(96, 6), made.address >>> 2)
    const result = made.finish() as Tensor
    release()
    expect(result.shape).toEqual([3, 32])
    expect(await result.data()).toEqual(numbers(96, 6))
    input.dispose()
    result.dispose()
    expect([heap.live, memory().numTensors]).toEqual([live, tensors])
  })
})
