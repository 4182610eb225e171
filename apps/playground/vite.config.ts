import { defineConfig } from 'vite'
import { documents } from './plugins/documents.ts'
import { modelFiles } from './plugins/model-files.ts'
import { namedWorker } from './plugins/named-worker.ts'
import { offline } from './plugins/offline.ts'

/** tfjs in a chunk of its own: it is larger than all else, and changes less often. */
const tfjs = { name: 'tfjs', test: /@tensorflow\/(?!tfjs-backend-webgpu)/ }
/** Loaded only where it is chosen. */
const webgpu = { name: 'tfjs-webgpu', test: /tfjs-backend-webgpu/ }
/** What the page and its worker both need: the methods. */
const methods = { name: 'methods', minShareCount: 2 }

export default defineConfig({
  // Works in any folder of a static host.
  base: './',
  plugins: [documents(), modelFiles(), namedWorker(), offline()],
  build: {
    target: 'es2023',
    chunkSizeWarningLimit: 1000,
    assetsInlineLimit: 0,
    // What preloads asks for a document, and the worker has none.
    modulePreload: false,
    rolldownOptions: {
      // The worker is built together with the page, so that they share what both need.
      input: { index: 'index.html', worker: 'src/worker/worker.ts', 'service-worker': 'service-worker/service-worker.ts' },
      output: {
        // Browsers compare the service worker with the one that they have under this name.
        entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js'),
        codeSplitting: { groups: [tfjs, webgpu, methods] },
      },
    },
  },
})
