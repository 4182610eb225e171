import type { Plugin } from 'vite'

const SOURCE = 'src/worker/worker.ts'

/**
 * Tells the page where its worker is: `data-worker` of its first element. Not in a script: that would have to change its own name whenever the
 * worker's changes.
 */
export function namedWorker(): Plugin {
  return {
    name: 'named-worker',
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle }) {
        const worker = Object.values(bundle ?? {}).find((file) => file.type === 'chunk' && file.isEntry && file.name === 'worker')
        return html.replace('<html ', `<html data-worker="${worker ? `./${worker.fileName}` : `/${SOURCE}`}" `)
      },
    },
  }
}
