// Packs every package as it would be published, and checks the tarballs: publint, are-the-types-wrong, and a fresh project that
// installs them all with npm and imports every entry.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = process.cwd()
const bin = (name) => join(root, 'node_modules/.bin', name)
const run = (command, args, cwd = root) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

const folders = ['packages', 'apps'].flatMap((parent) => readdirSync(parent).map((name) => join(parent, name)))
const packages = folders
  .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) }))
  .filter(({ manifest }) => !manifest.private)

const work = mkdtempSync(join(tmpdir(), 'kvfold-packages-'))
let problems = 0
const attempt = (what, action) => {
  try {
    action()
  } catch (error) {
    problems++
    console.error(`${what}: ${error.stdout ?? ''}${error.stderr ?? error.message}`)
  }
}

try {
  for (const one of packages) {
    const { filename } = JSON.parse(run(bin('pnpm'), ['pack', '--json', '--pack-destination', work], one.folder))
    one.tarball = filename
    attempt(`publint ${one.folder}`, () => run(bin('publint'), [one.tarball, '--strict']))
    // A package without types in its exports (the command) has nothing to resolve.
    if (one.manifest.exports['.']) attempt(`attw ${one.folder}`, () => run(bin('attw'), [one.tarball, '--profile', 'esm-only']))
  }
  const dependencies = Object.fromEntries(packages.map(({ manifest, tarball }) => [manifest.name, `file:${tarball}`]))
  // Packages name each other by version: what is not published yet comes from the tarballs too.
  writeFileSync(join(work, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies, overrides: dependencies }))
  attempt('install', () => run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'], work))
  const entries = packages.flatMap(({ manifest }) =>
    Object.keys(manifest.exports)
      .filter((entry) => entry !== './package.json' && !entry.includes('*'))
      .map((entry) => manifest.name + entry.slice(1)),
  )
  writeFileSync(join(work, 'all.mjs'), entries.map((entry) => `await import('${entry}')`).join('\n'))
  attempt('import', () => run('node', ['all.mjs'], work))
  attempt('kvfold methods', () => run('node', ['node_modules/kvfold/bin/kvfold.js', 'methods', '--json'], work))
  console.log(`${packages.length} packages, ${entries.length} entries, ${problems} problems`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exitCode = problems ? 1 : 0
