import { enableProdMode, engine, setBackend } from '@tensorflow/tfjs-core'
import { UnsupportedModelError } from '../errors.ts'

/**
 * Starts tfjs's wasm backend, or the (slow) plain one where WebAssembly fails, unless the caller has set a backend already.
 * Returns its name.
 */
export async function startBackend(): Promise<string> {
  const chosen = engine().backendName
  if (chosen) return chosen
  // Fewer checks per operation, and no advice on the console.
  enableProdMode()
  await import('@tensorflow/tfjs-backend-wasm')
  if (await setBackend('wasm').catch(() => false)) return 'wasm'
  await import('@tensorflow/tfjs-backend-cpu')
  if (await setBackend('cpu')) return 'cpu'
  throw new UnsupportedModelError('No tfjs backend starts on this machine: set one up with setBackend before loading a model.')
}
