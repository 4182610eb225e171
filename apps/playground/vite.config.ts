import { defineConfig } from 'vite'
import { documents } from './plugins/documents.ts'
import { modelFiles } from './plugins/model-files.ts'
import { offline } from './plugins/offline.ts'

/** tfjs in a chunk of its own: it is larger than all else, and changes less often. */
const tfjs = { name: 'tfjs', test: /@tensorflow/ }

export default defineConfig({
  // Works in any folder of a static host.
  base: './',
  resolve: { conditions: ['@kvfold/source', 'module', 'browser', 'import', 'default'] },
  plugins: [documents(), modelFiles(), offline()],
  worker: {
    format: 'es',
    plugins: () => [modelFiles()],
    rolldownOptions: { output: { codeSplitting: { groups: [tfjs] } } },
  },
  build: {
    target: 'es2023',
    chunkSizeWarningLimit: 1000,
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: 'index.html', 'service-worker': 'service-worker/service-worker.ts' },
      output: { entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js') },
    },
  },
})
