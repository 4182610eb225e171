import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The built command, as a user runs it. */
export const command = fileURLToPath(new URL('../bin/kvfold.js', import.meta.url))

/** Runs it in a folder. */
export function runIn(folder: string, ...args: string[]): { code: number | null; out: string; error: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], { cwd: folder, encoding: 'utf8' })
  return { code: status, out: stdout, error: stderr }
}
