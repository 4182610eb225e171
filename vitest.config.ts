import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { markdownExamples } from './tooling/markdown-examples.ts'

export default defineConfig({
  plugins: [markdownExamples()],
  ssr: { resolve: { conditions: ['@kvfold/source', 'node', 'import', 'module', 'default'] } },
  resolve: { conditions: ['@kvfold/source', 'node', 'import', 'module', 'default'] },
  test: {
    include: ['{packages,apps}/*/{src,test}/**/*.test.ts', 'docs/**/*.test.ts'],
    // Isolation costs ten times the run on two cores; tests that change process-wide state restore it themselves.
    isolate: false,
    // Vitest leaves one core to others; of two, that is half.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
