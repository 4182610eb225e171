import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** A test's module as a page has it, its exports on `kvfold`: one script, bundled from the packages' sources. */
export async function pageScript(entry: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(entry)],
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'kvfold',
    platform: 'browser',
    conditions: ['@kvfold/source'],
    target: 'es2022',
    logLevel: 'error',
  })
  return outputFiles[0].text
}
