import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { modelUrl } from '@kvfold/reference-model'
import type { Plugin } from 'vite'

const MODULE = 'virtual:model-files'
const folder = fileURLToPath(modelUrl)

/** Puts the reference model's files into `model/`, and tells the page their names, sizes and hashes. */
export function modelFiles(): Plugin {
  return {
    name: 'model-files',
    resolveId: (id) => (id === MODULE ? `\0${MODULE}` : undefined),
    async load(id) {
      if (id !== `\0${MODULE}`) return undefined
      const files = await Promise.all((await readdir(folder)).sort().map(describe))
      return `export const MODEL_FILES = ${JSON.stringify(files)}`
    },
    async generateBundle() {
      for (const name of await readdir(folder))
        this.emitFile({ type: 'asset', fileName: `model/${name}`, source: await readFile(join(folder, name)) })
    },
    configureServer({ middlewares }) {
      middlewares.use('/model', (request, response) => {
        createReadStream(join(folder, new URL(request.url!, 'http://localhost').pathname)).pipe(response)
      })
    },
  }
}

async function describe(name: string): Promise<{ name: string; size: number; hash: string }> {
  const bytes = await readFile(join(folder, name))
  return { name, size: bytes.length, hash: createHash('sha256').update(bytes).digest('hex').slice(0, 12) }
}
