import { KernelThreadError } from '../errors.ts'
import type { WasmHeap } from '../heap.ts'
import { moduleFor, multipliesBytes, type KernelModule } from '../wasm/module.ts'
import type { Build } from '../wasm/relaxed-simd.ts'
import { CONTROL_WORDS, FAILED, LEFT, MAX_TASKS, NEXT, SCRATCH_AT, SCRATCH_EACH, SLEEPING, STOP, TASK_WORDS } from './control.ts'
import { startWorker, type RunningWorker } from './start-worker.ts'

/** Milliseconds that a thread looks for work, or for the end of it, before it sleeps: longer than what lies between a model's products. */
const SPIN = 0.05
/** Milliseconds after which a thread counts as dead. Tasks take a second at most. */
const PATIENCE = 60_000

/** Threads that run the tasks of a call, this one among them. */
export class Pool {
  readonly threads: number
  private readonly heap: WasmHeap
  private readonly calls: readonly ((...args: number[]) => void)[]
  private readonly names: readonly string[]
  private readonly control: number
  private readonly words: Int32Array
  private readonly table: Float64Array
  private readonly sleeps: boolean
  private workers: RunningWorker[] = []
  private tasks = 0
  private room = 0
  /** What is freed with the threads. */
  private blocks: number[] = []
  private ended: string | undefined

  private constructor(heap: WasmHeap, wasm: KernelModule, threads: number) {
    this.heap = heap
    this.threads = threads
    this.names = Object.keys(wasm)
    this.calls = Object.values(wasm) as ((...args: number[]) => void)[]
    this.control = this.malloc(CONTROL_WORDS * 4 + MAX_TASKS * TASK_WORDS * 8)
    // A shared memory grows in place: these views stay.
    this.words = new Int32Array(heap.memory.buffer, this.control, CONTROL_WORDS).fill(0)
    this.sleeps = maySleep(this.words)
    this.table = new Float64Array(heap.memory.buffer, this.control + CONTROL_WORDS * 4, MAX_TASKS * TASK_WORDS)
  }

  /** Starts `threads - 1` workers on the heap's memory, which must be shared; `wasm` is an instance of `build` there. Throws KernelUnavailableError. */
  static async start(heap: WasmHeap, build: Build, wasm: KernelModule, threads: number): Promise<Pool> {
    const pool = new Pool(heap, wasm, threads)
    const { names, control } = pool
    const own = { module: moduleFor(heap.memory, build), multipliesBytes: multipliesBytes(build) }
    const shared = { ...own, memory: heap.memory, names, control, tasks: control + CONTROL_WORDS * 4, spin: SPIN }
    const started = await Promise.allSettled(Array.from({ length: threads - 1 }, (_, i) => startWorker({ ...shared, thread: i + 1 })))
    pool.workers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = started.find((one) => one.status === 'rejected')
    if (failed) {
      await pool.dispose()
      throw failed.reason as Error
    }
    return pool
  }

  /** The address of so many bytes, which are freed with the threads. */
  malloc(bytes: number): number {
    const address = this.heap.malloc(bytes)
    this.blocks.push(address)
    return address
  }

  /** Gives every thread so much scratch. Throws KernelThreadError. */
  scratch(bytes: number): void {
    this.checkRunning()
    if (bytes <= this.room) return
    const address = this.heap.malloc(bytes * this.threads)
    if (this.room) this.heap.free(this.words[SCRATCH_AT] >>> 0)
    this.words[SCRATCH_AT] = address
    this.words[SCRATCH_EACH] = this.room = bytes
  }

  /** Adds a task to the next `run`: a compiled function's arguments. Every thread puts its own scratch in place of the last one. Throws KernelThreadError. */
  add(name: keyof KernelModule, args: readonly number[]): void {
    this.checkRunning()
    const at = this.tasks++ * TASK_WORDS
    this.table[at] = this.names.indexOf(name)
    this.table[at + 1] = args.length - 1
    this.table.set(args, at + 2)
  }

  /** Runs the tasks, those added last first, and returns when all are done. Throws KernelThreadError. */
  run(): void {
    const { words, tasks } = this
    this.tasks = 0
    Atomics.store(words, LEFT, tasks)
    Atomics.store(words, NEXT, tasks)
    if (Atomics.load(words, SLEEPING) > 0) Atomics.notify(words, NEXT, tasks - 1)
    for (let task; (task = Atomics.sub(words, NEXT, 1) - 1) >= 0;) this.runTask(task)
    this.settle()
    if (Atomics.exchange(words, FAILED, 0)) throw new KernelThreadError('A kernel stopped in one of the threads: this is a bug of it.')
  }

  /** What a disposed pool would write to is not its own any more. */
  private checkRunning(): void {
    if (this.ended) throw new KernelThreadError(this.ended)
  }

  private runTask(task: number): void {
    const { words, table, calls } = this
    const at = task * TASK_WORDS
    try {
      const args: number[] = []
      for (let i = at + 2; i < at + 2 + table[at + 1]; i++) args.push(table[i])
      calls[table[at]](...args, words[SCRATCH_AT] >>> 0)
    } catch {
      Atomics.store(words, FAILED, 1)
    }
    Atomics.sub(words, LEFT, 1)
  }

  /** Waits for the tasks that others took. */
  private settle(): void {
    const { words } = this
    if (Atomics.load(words, LEFT) === 0) return
    const start = performance.now()
    for (let left; (left = Atomics.load(words, LEFT)) > 0;) {
      const waited = performance.now() - start
      if (waited > PATIENCE) {
        void this.dispose('A thread did not finish its task: it was ended from outside.')
        throw new KernelThreadError(this.ended!)
      }
      if (waited > SPIN && this.sleeps) Atomics.wait(words, LEFT, left, PATIENCE)
    }
  }

  /** Ends the workers; kernels that still use them throw KernelThreadError. A second call does nothing. */
  async dispose(why: string = 'These threads were disposed.'): Promise<void> {
    if (this.ended) return
    this.ended = why
    Atomics.store(this.words, NEXT, STOP)
    Atomics.notify(this.words, NEXT)
    await Promise.all(this.workers.map((worker) => worker.ended()))
    if (this.room) this.heap.free(this.words[SCRATCH_AT] >>> 0)
    for (const address of this.blocks) this.heap.free(address)
  }
}

/** False on a page's own thread, which may not sleep. */
function maySleep(words: Int32Array): boolean {
  try {
    Atomics.wait(words, FAILED, 1)
    return true
  } catch {
    return false
  }
}
