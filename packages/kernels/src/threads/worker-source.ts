import { FAILED, LEFT, NEXT, SCRATCH_AT, SCRATCH_EACH, SLEEPING, STOP, TASK_WORDS } from './control.ts'

/** What a worker is told first. Addresses are in `memory`. */
export interface WorkerStart {
  memory: unknown
  module: unknown
  /** What an instance of the relaxed binary is told. */
  multipliesBytes: number
  /** The compiled functions that tasks may name, by number. */
  names: readonly string[]
  control: number
  tasks: number
  /** This thread's number; the calling thread is 0. */
  thread: number
  /** How long it looks for work before it sleeps, in milliseconds. */
  spin: number
}

/** All of a worker, as text: it needs no file beside it, and no bundler or minifier can part it from what it uses. */
export const workerSource: string = `
const work = (post, { memory, module, multipliesBytes, names, control, tasks, thread, spin }) => {
  const abort = () => { throw new Error('abort') }
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort, multipliesBytes } })
  const calls = names.map((name) => exports[name])
  const words = new Int32Array(memory.buffer, control)
  const table = new Float64Array(memory.buffer, tasks)
  post('ready')
  let idle = performance.now()
  for (let looks = 1; ; looks++) {
    const next = Atomics.load(words, ${NEXT})
    if (next <= ${STOP}) return
    if (next > 0) {
      const task = Atomics.sub(words, ${NEXT}, 1) - 1
      if (task < 0) continue
      const at = task * ${TASK_WORDS}
      const scratch = (words[${SCRATCH_AT}] >>> 0) + thread * words[${SCRATCH_EACH}]
      try {
        const args = []
        for (let i = at + 2; i < at + 2 + table[at + 1]; i++) args.push(table[i])
        calls[table[at]](...args, scratch)
      } catch {
        Atomics.store(words, ${FAILED}, 1)
      }
      if (Atomics.sub(words, ${LEFT}, 1) === 1) Atomics.notify(words, ${LEFT})
      idle = performance.now()
    } else if (looks % 64 === 0 && performance.now() - idle > spin) {
      Atomics.add(words, ${SLEEPING}, 1)
      Atomics.wait(words, ${NEXT}, next)
      Atomics.sub(words, ${SLEEPING}, 1)
      idle = performance.now()
    }
  }
}
if (typeof require === 'function') {
  const { parentPort } = require('node:worker_threads')
  parentPort.once('message', (start) => work((message) => parentPort.postMessage(message), start))
} else {
  onmessage = ({ data }) => {
    work((message) => postMessage(message), data)
    postMessage('ended')
    close()
  }
}
`
