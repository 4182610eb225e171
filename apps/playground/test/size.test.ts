import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { dist } from './static-server.ts'

const LIMIT = 300

it('has a page whose scripts are small, but for tfjs', () => {
  const scripts = ['.', 'assets'].flatMap((folder) => readdirSync(join(dist, folder)).map((name) => join(folder, name)))
  const own = scripts.filter((name) => name.endsWith('.js') && !name.includes('tfjs'))
  const sizes = own.map((name) => [name, gzipSync(readFileSync(join(dist, name))).length / 1000] as const)
  const sum = sizes.reduce((sum, [, size]) => sum + size, 0)
  console.log(`${sizes.map(([name, size]) => `${name} ${size.toFixed(1)} kB`).join(', ')}: ${sum.toFixed(1)} kB of ${LIMIT}, gzipped`)
  expect(own.length).toBeGreaterThan(2)
  expect(sum).toBeLessThan(LIMIT)
})
