// All set-up from a fresh clone, with nothing but Node and npm: install the workspace, then build what changed.
// Quiet and quick when there is nothing to do.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const PNPM = 'pnpm@10.34.8'
const stamp = 'node_modules/.kvfold-setup'
const lock = createHash('sha256').update(readFileSync('pnpm-lock.yaml')).update(process.version).digest('hex')

function run(command, args) {
  const result = spawnSync(command, args, {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' },
  })
  if (result.status !== 0) process.exit(result.status ?? 1)
}

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  console.log('Installing the workspace (once) ...')
  run('npx', ['--yes', PNPM, 'install', '--frozen-lockfile', '--prefer-offline'])
  writeFileSync(stamp, lock)
}
run('npx', ['turbo', 'run', 'build', '--output-logs=errors-only', '--log-order=grouped'])
