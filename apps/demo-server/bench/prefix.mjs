// How much sooner a prompt answers that begins with 4,096 tokens which were read before: the first token's time, from cold and from the held
// prefix, for several questions. Run `npm run build` first.
import { benchServer, documentOf, median, ttft } from './bench-server.mjs'

const { url, tokenizer, close } = await benchServer({ budget: 1e9 })
const cold = [],
  warm = []
for (let round = 0; round < 3; round++) {
  const content = documentOf(tokenizer, 4096, round)
  for (const [i, question] of ['Who is the captain?', 'What is the magic number of quiet harbor?', 'When?', 'How far is it?'].entries())
    (i === 0 ? cold : warm).push(await ttft(url, content, question))
}
await close()
const ms = (x) => `${x.toFixed(0)} ms`
console.log(`cold   ${cold.map(ms).join(', ')}`)
console.log(`warm   ${warm.map(ms).join(', ')}`)
console.log(
  `ratio  ${(median(cold) / median(warm)).toFixed(1)}x of the medians, ${(Math.min(...cold) / Math.max(...warm)).toFixed(1)}x at worst`,
)
