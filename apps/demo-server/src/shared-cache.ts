import type { KvCache, LayerCache } from '@kvfold/kv-core'
import type { Turns } from './turns.ts'

/** A cache as the model sees it when others wait for the thread: before each layer's attention they may go first. All else passes through. */
export function sharedCache(cache: KvCache, turns: Turns): KvCache {
  const layers = Array.from({ length: cache.shape.layers }, (_, i) => {
    const layer = cache.layer(i)
    const attend: LayerCache['attend'] = async (input) => {
      await turns.next()
      return layer.attend(input)
    }
    return instead(layer, { attend })
  })
  return instead(cache, { layer: (index: number) => layers[index] })
}

/** An object with some of its members replaced. */
function instead<T extends object>(target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get(own, name) {
      if (name in members) return Reflect.get(members, name) as unknown
      const value: unknown = Reflect.get(own, name, own)
      return typeof value === 'function' ? (value.bind(own) as unknown) : value
    },
  })
}
