import { readFileSync } from 'node:fs'
import type { Plugin } from 'vitest/config'

/** The TypeScript blocks of a Markdown text. */
export function examples(markdown: string): string[] {
  return [...markdown.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code)
}

/**
 * Lets a test import the i-th TypeScript block of a Markdown file, `FILE.md?example=i`, as a module that lies beside the file.
 * `console.log(...) // expected` becomes a call of `globalThis.expectPrinted(expected, ...)`.
 */
export function markdownExamples(): Plugin {
  const end = /\.md\.(\d+)\.example\.ts$/
  return {
    name: 'markdown-examples',
    enforce: 'pre',
    resolveId: (id) => {
      const match = /^(.*\.md)\?example=(\d+)$/.exec(id)
      return match ? `${match[1]}.${match[2]}.example.ts` : undefined
    },
    load: (id) => {
      const match = end.exec(id)
      if (!match) return undefined
      const code = examples(readFileSync(id.replace(end, '.md'), 'utf8'))[Number(match[1])]
      return code.replace(
        /^( *)console\.log\((.*)\) *\/\/ (.*)$/gm,
        (_, indent: string, args: string, expected: string) => `${indent}globalThis.expectPrinted(${JSON.stringify(expected)}, ${args})`,
      )
    },
  }
}
