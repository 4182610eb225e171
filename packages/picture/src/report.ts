import type { PictureData } from './picture-data.ts'
import { script } from './report-script.generated.ts'

/** A picture, and what a reader must know of how it came about. */
export interface Report extends PictureData {
  title: string
  /** What was asked, and answered. */
  question?: string
  answer?: string
  /** Names and values, such as the model, the policy, bytes. */
  facts: readonly (readonly [name: string, value: string])[]
}

/** A report as one file of HTML: no other file is needed to show it. */
export function reportHtml(report: Report): string {
  const { title, question, answer, facts, history, pieces, documentTokens } = report
  const paragraph = (name: string, text: string | undefined): string =>
    text === undefined ? '' : `<div><dt>${name}</dt><dd>${escaped(text)}</dd></div>\n`
  // "<" never ends a script inside a string of JSON.
  const data = JSON.stringify({ history, pieces, documentTokens }).replaceAll('<', String.raw`\u003c`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
<dl class="said">
${paragraph('Question', question)}${paragraph('Answer', answer)}</dl>
<dl class="facts">
${facts.map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`).join('\n')}
</dl>
<h2>What was kept</h2>
<div id="picture"></div>
</main>
<script type="application/json" id="data">${data}</script>
<script>${script}</script>
</body>
</html>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const style = `
:root { color-scheme: light dark; font-family: system-ui, sans-serif; background: light-dark(#fff, #14161a); color: light-dark(#1c2026, #e6e9ee); }
body { margin: 0; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1.2rem 3rem; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 0.8rem; }
dl { margin: 0; }
dt { color: light-dark(#636b76, #98a1ad); font-size: 0.8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.said dd { font-size: 1.05rem; white-space: pre-wrap; }
.said div { margin-bottom: 0.7rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0.6rem 2rem; font-variant-numeric: tabular-nums; }
`
