import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { drawStill, stillSize, type Canvas2D, type Report } from '@kvfold/picture'

const FAMILY = 'KVFold still'

/** A report's last moment as a PNG. The font comes along: a machine may have none. */
export async function still(report: Report): Promise<Uint8Array> {
  // Ten megabytes that only this needs.
  const { createCanvas, GlobalFonts } = await import('@napi-rs/canvas')
  for (const weight of [400, 600]) {
    const font = import.meta.resolve(`@fontsource/inter/files/inter-latin-${weight}-normal.woff2`)
    GlobalFonts.register(await readFile(fileURLToPath(font)), FAMILY)
  }
  const { width, height } = stillSize(report)
  const canvas = createCanvas(width, height)
  drawStill(canvas.getContext('2d') as unknown as Canvas2D, report, `"${FAMILY}", sans-serif`)
  return canvas.encode('png')
}
