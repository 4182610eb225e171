import { enableProdMode, ready, setBackend } from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-wasm'
import '@tensorflow/tfjs-backend-cpu'

/** The wasm backend, or the one named. */
export async function useBackend(name: 'wasm' | 'cpu' = 'wasm'): Promise<void> {
  enableProdMode()
  if (!(await setBackend(name))) throw new Error(`tfjs backend ${name} did not start`)
  await ready()
}
