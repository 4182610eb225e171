// Writes docs/methods.md from the registry, as the built command lists it. With --check: says whether it is up to date.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const PAGE = 'docs/methods.md'
const methods = JSON.parse(execFileSync('node', ['apps/cli/bin/kvfold.js', 'methods', '--json'], { encoding: 'utf8' }))

const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')
const row = (...cells) => `| ${cells.map(cell).join(' | ')} |`
const paperLink = (paper) =>
  paper ? (paper.arxiv ? `[${paper.title}](https://arxiv.org/abs/${paper.arxiv}), ${paper.year}` : `${paper.title}, ${paper.year}`) : ''

const page = `# Methods

Made by \`npm run docs\` from what the packages export. \`kvfold methods NAME\` prints the same. Presets join with \`+\`:
\`snapkv(budget=512) + kivi(bits=4)\`. Two that decide the same axis do not go together, and say so.

${row('method', 'axes', 'package', 'what it does')}
${row('---', '---', '---', '---')}
${methods.map((m) => row(`[${m.name}](#${m.name})`, m.axes.join(', '), m.package, m.summary)).join('\n')}
${methods
  .map(
    (m) => `
## ${m.name}

${m.summary}${m.paper ? `\n\n${paperLink(m.paper)}` : ''}

${row('parameter', 'default', 'meaning')}
${row('---', '---', '---')}
${m.params.map((p) => row(`\`${p.name}\``, p.default === undefined ? '' : `\`${p.default}\``, p.description)).join('\n')}
`,
  )
  .join('')}`

if (process.argv.includes('--check')) {
  if (readFileSync(PAGE, 'utf8') !== page) {
    console.error(`${PAGE} is not what the code says: run npm run docs.`)
    process.exitCode = 1
  }
} else writeFileSync(PAGE, page)
