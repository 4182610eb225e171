import type { KvCache, LayerCache } from '@kvfold/kv-core'
import type { SequenceCache } from '@kvfold/models'
import type { Stopwatch } from './stopwatch.ts'

/** Milliseconds of work after which messages are looked at: one of them may say stop. */
const SLICE = 15

let last = 0

/** A cache as the model sees it: between layers the worker looks at its messages, and the watch does not count that. */
export function pausingCache(cache: KvCache, watch: Stopwatch): SequenceCache {
  const layers = Array.from({ length: cache.shape.layers }, (_, i) => pausingLayer(cache.layer(i), watch))
  return {
    get length() {
      return cache.length
    },
    get position() {
      return cache.position
    },
    get unread() {
      return cache.unread
    },
    reconstruct: (chunk, read) => cache.reconstruct(chunk, read),
    layer: (index) => layers[index],
  }
}

function pausingLayer(layer: LayerCache, watch: Stopwatch): LayerCache {
  return {
    get promptQueries() {
      return layer.promptQueries
    },
    get retaining() {
      return layer.retaining
    },
    async attend(input) {
      if (performance.now() - last > SLICE) {
        watch.stop()
        await messages()
        last = performance.now()
        watch.start()
      }
      return layer.attend(input)
    },
  }
}

/** Ends when all messages that wait now were handled. A timer would take 4 ms. */
async function messages(): Promise<void> {
  await new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener('message', () => {
      port1.close()
      resolve()
    })
    port1.start()
    port2.postMessage(null)
  })
}
