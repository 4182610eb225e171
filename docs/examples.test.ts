import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { examples } from '../tooling/markdown-examples.ts'

/** Compared word by word, numbers to the digits that the expectation shows; a remark in parentheses at its end is passed over. */
function expectPrinted(expected: string, ...values: unknown[]): void {
  const words = (text: string): string[] => text.match(/-?\d+(\.\d+)?|[^\s\d]+/g) ?? []
  const printed = words(values.map((value) => (typeof value === 'string' ? value : inspect(value))).join(' '))
  const wanted = words(expected.replace(/ \(.*\)$/, ''))
  wanted.forEach((word, i) => {
    const digits = /^-?\d+(?:\.(\d+))?$/.exec(word)
    if (digits) expect(Number(printed[i]).toFixed(digits[1]?.length ?? 0)).toBe(word)
    else expect(printed[i]).toBe(word)
  })
}

Object.assign(globalThis, { expectPrinted })

const root = new URL('..', import.meta.url).pathname
const readmes = ['packages', 'apps'].flatMap((parent) => readdirSync(root + parent).map((name) => `${parent}/${name}/README.md`))
const pages = readdirSync(`${root}docs`)
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`)
const files = ['README.md', ...readmes, ...pages].filter((file) => existsSync(root + file))

describe('the examples in Markdown run, and print what they say', () => {
  for (const file of files) {
    examples(readFileSync(root + file, 'utf8')).forEach((_, i) => {
      it(`${file}, example ${i + 1}`, async () => {
        await import(/* @vite-ignore */ `${root}${file}?example=${i}`)
      })
    })
  }
})
