// Bundles the script of a report into src/report-script.generated.ts, as text.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const { outputFiles } = await build({
  entryPoints: [here('src/page/report-page.ts')],
  bundle: true,
  minify: true,
  write: false,
  format: 'iife',
  platform: 'browser',
  target: 'es2022',
  conditions: ['@kvfold/source'],
  logLevel: 'error',
})
const script = outputFiles[0].text.replaceAll('</script', String.raw`<\/script`)
writeFileSync(
  here('src/report-script.generated.ts'),
  `// Made by build-page.mjs.\nexport const script: string = ${JSON.stringify(script)}\n`,
)
