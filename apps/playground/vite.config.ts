import { defineConfig } from 'vite'
import { documents } from './plugins/documents.ts'
import { modelFiles } from './plugins/model-files.ts'
import { offline } from './plugins/offline.ts'

/** tfjs in a chunk of its own: it is larger than all else, and changes less often. */
const tfjs = { name: 'tfjs', test: /@tensorflow/ }
/** What the page and its worker both need: the methods. */
const methods = { name: 'methods', minShareCount: 2 }

/** Files whose addresses must be known: one is named in a script, browsers compare the other with the one they have. */
const named = new Set(['worker', 'service-worker'])

export default defineConfig({
  // Works in any folder of a static host.
  base: './',
  plugins: [documents(), modelFiles(), offline()],
  build: {
    target: 'es2023',
    chunkSizeWarningLimit: 1000,
    assetsInlineLimit: 0,
    rolldownOptions: {
      // The worker is built together with the page, so that they share what both need.
      input: { index: 'index.html', worker: 'src/worker/worker.ts', 'service-worker': 'service-worker/service-worker.ts' },
      output: {
        entryFileNames: ({ name }) => (named.has(name) ? '[name].js' : 'assets/[name]-[hash].js'),
        codeSplitting: { groups: [tfjs, methods] },
      },
    },
  },
})
