import { isShared, webAssembly, type WasmMemory, type WasmModule } from '../heap/webassembly.ts'
import { plain, relaxed } from './binary.generated.ts'
import { bytesOf } from './bytes.ts'
import { bestBuild, type Build } from './relaxed-simd.ts'

/** What assembly/index.ts exports: addresses and numbers only. */
export interface KernelModule {
  begin(state: number, queries: number, headDim: number): void
  finish(state: number, queries: number, headDim: number, out: number): void
  merge(max: number, sum: number, output: number, from: number, queries: number, headDim: number): void
  attend(
    max: number,
    sum: number,
    output: number,
    queries: number,
    count: number,
    keyDim: number,
    headDim: number,
    keyTable: number,
    valueTable: number,
    start: number,
    rows: number,
    bias: number,
    scale: number,
    logWeight: number,
    logits: number,
    stride: number,
    scratch: number,
  ): void
  prefill(
    max: number,
    sum: number,
    output: number,
    queries: number,
    group: number,
    count: number,
    keyDim: number,
    headDim: number,
    keyTable: number,
    valueTable: number,
    rows: number,
    bias: number,
    scale: number,
    logWeight: number,
    causal: number,
    size: number,
    offsets: number,
    indices: number,
    scratch: number,
  ): void
  logits(
    queries: number,
    group: number,
    count: number,
    headDim: number,
    keyTable: number,
    start: number,
    rows: number,
    bias: number,
    scale: number,
    logWeight: number,
    causal: number,
    into: number,
    stride: number,
    scratch: number,
  ): void
  columnSums(
    max: number,
    sum: number,
    queries: number,
    group: number,
    count: number,
    headDim: number,
    keyTable: number,
    rows: number,
    start: number,
    end: number,
    bias: number,
    scale: number,
    logWeight: number,
    causal: number,
    sums: number,
    scratch: number,
  ): void
  columnMaxima(
    max: number,
    sum: number,
    queries: number,
    group: number,
    count: number,
    headDim: number,
    keyTable: number,
    rows: number,
    start: number,
    end: number,
    bias: number,
    scale: number,
    logWeight: number,
    causal: number,
    maxima: number,
    scratch: number,
  ): void
  probabilities(row: number, rows: number, max: number, sum: number): void
  softmax(row: number, rows: number): void
  gram(from: number, count: number, width: number, into: number): void
  matmul(
    a: number,
    rows: number,
    inner: number,
    b: number,
    bStride: number,
    columns: number,
    into: number,
    intoStride: number,
    scratch: number,
  ): void
  linear(
    x: number,
    rows: number,
    inputs: number,
    kind: number,
    codes: number,
    scales: number,
    minima: number,
    outputs: number,
    into: number,
    stride: number,
    gain: number,
    scratch: number,
  ): void
  rmsNorm(x: number, rows: number, width: number, epsilon: number, into: number): void
  swiglu(gate: number, up: number, count: number): void
  rope(from: number, into: number, count: number, headDim: number, cos: number, sin: number): void
  gather(fromTable: number, intoTable: number, indices: number, count: number, base: number, width: number): void
  quantize(from: number, rows: number, headDim: number, code: number, page: number, capacity: number, scratch: number): void
  dequantize(page: number, capacity: number, code: number, start: number, rows: number, headDim: number, into: number): void
  allFinite(address: number, count: number): number
}

const binaries = { plain, fused: relaxed, relaxed }

/** Decoded, checked and compiled once: every heap gets an instance of it. Null where this machine cannot run it. */
const modules = new Map<string, WasmModule | null>()

/** The compiled kernels that import such a memory; null where this machine cannot run them. */
export function moduleFor(memory: WasmMemory, build: Build): WasmModule | null {
  return compiled(build, isShared(memory))
}

/** The kernels on a memory; undefined where there is no WebAssembly, or none with SIMD. */
export function instantiate(memory: WasmMemory, build: Build): KernelModule | undefined {
  const module = moduleFor(memory, build)
  return module
    ? (new webAssembly.Instance(module, { env: { memory, abort, multipliesBytes: multipliesBytes(build) } }).exports as KernelModule)
    : undefined
}

/** What an instance of the relaxed binary is told. */
export function multipliesBytes(build: Build): number {
  return build === 'relaxed' ? 1 : 0
}

/** False where there is no WebAssembly, or none with SIMD. */
export function supported(): boolean {
  return compiled(bestBuild(), false) !== null
}

function compiled(build: Build, threaded: boolean): WasmModule | null {
  const key = `${build} ${threaded}`
  let module = modules.get(key)
  if (module === undefined) {
    const bytes = threaded ? sharedBytes(build) : bytesOf(binaries[build].bytes)
    module = webAssembly?.validate(bytes) ? new webAssembly.Module(bytes) : null
    modules.set(key, module)
  }
  return module
}

/** A memory that threads share must be imported as such: all else is the same code. */
function sharedBytes(build: Build): Uint8Array {
  const { shared, bytes: alone } = binaries[build]
  const bytes = bytesOf(alone)
  return Uint8Array.from([...bytes.subarray(0, shared.from), ...bytesOf(shared.bytes), ...bytes.subarray(shared.to)])
}

function abort(): never {
  throw new Error('The wasm kernels stopped: this is a bug of theirs.')
}
