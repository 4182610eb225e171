import { createHash } from 'node:crypto'
import type { Plugin } from 'vite'

/** Tells the service worker which files the page is made of. Weights are not among them: the model's loader keeps those itself. */
export function offline(): Plugin {
  return {
    name: 'offline',
    enforce: 'post',
    generateBundle(_, bundle) {
      const [script, worker] = ['service-worker.js', 'worker.js'].map((name) => bundle[name])
      if (script?.type !== 'chunk' || worker?.type !== 'chunk') throw new Error('The workers were not built.')
      const files = ['./', 'icon.svg', 'worker.js', ...Object.keys(bundle).filter((name) => /^assets\/(?!.*threaded)/.test(name))]
      // All other names change with what is in them.
      const version = createHash('sha256').update(files.join()).update(worker.code).digest('hex').slice(0, 12)
      script.code = script.code.replace('__FILES__', JSON.stringify(files)).replace('__VERSION__', JSON.stringify(version))
    },
  }
}
