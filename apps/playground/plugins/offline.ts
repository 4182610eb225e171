import { createHash } from 'node:crypto'
import type { Plugin } from 'vite'

/** Tells the service worker which files the page is made of. Weights are not among them: the model's loader keeps those itself. */
export function offline(): Plugin {
  return {
    name: 'offline',
    enforce: 'post',
    generateBundle(_, bundle) {
      const script = bundle['service-worker.js']
      if (script?.type !== 'chunk') throw new Error('The service worker was not built.')
      const files = ['./', 'icon.svg', ...Object.keys(bundle).filter((name) => /^assets\/(?!.*threaded)/.test(name))]
      // Names change with what is in the files.
      const version = createHash('sha256').update(files.join()).digest('hex').slice(0, 12)
      script.code = script.code.replace('__FILES__', JSON.stringify(files)).replace('__VERSION__', JSON.stringify(version))
    },
  }
}
