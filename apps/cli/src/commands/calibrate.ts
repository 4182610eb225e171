import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { calibrationText } from '@kvfold/models'
import { calibrationPath } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import type { Command } from 'commander'
import { calibrateModel } from '../calibrate-model.ts'
import { UsageError } from '../errors.ts'
import { load, REFERENCE } from '../load.ts'
import { checkFolder, writeShort } from '../output-file.ts'
import { readText } from '../read-text.ts'
import { percent, startTask } from '../terminal/task.ts'
import { integer } from './options.ts'

interface CalibrateFlags {
  model: string
  text: string
  out?: string
  texts: number
  tokens: number
  json?: boolean
}

export function calibrateCommand(program: Command): void {
  program
    .command('calibrate')
    .summary("find the ranges of a model's keys and values, for kvquant")
    .description(
      'Lets the model read sample text, piece by piece, and writes down in what range each key channel lies and how keys and values are spread in theirs. The file belongs beside the model, where it is found when the model is loaded.',
    )
    .requiredOption('-t, --text <file>', 'sample text, - for the standard input')
    .option('-m, --model <model>', 'reference, a folder or a .gguf file', REFERENCE)
    .option('-o, --out <file>', 'where to write (default: beside the model)')
    .option('--texts <n>', 'how many pieces are read', integer(1), 16)
    .option('--tokens <n>', 'tokens of a piece', integer(16), 2048)
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  kvfold calibrate -m model.gguf --text book.txt')
    .action(run)
}

async function run({ model: name, text, out, texts, tokens, json = false }: CalibrateFlags): Promise<void> {
  const file = out ?? (await besideModel(name))
  await checkFolder(file)
  const content = await readText(text)
  const loaded = await load(name, json)
  const { model, tokenizer } = loaded
  if (tokens > model.maxPositions)
    throw new UsageError(`Pieces of ${tokens} tokens do not fit this model, which knows ${model.maxPositions} positions: give fewer.`)
  const all = tokenizer.encode(content)
  const pieces = Array.from({ length: Math.min(texts, Math.floor(all.length / tokens)) }, (_, i) => all.slice(i * tokens, (i + 1) * tokens))
  if (pieces.length === 0) throw new UsageError(`"${text}" has ${all.length} tokens, fewer than one piece of ${tokens}: give more text.`)
  const read = pieces.length * tokens
  const task = startTask(`Reading ${read} tokens`, json)
  const layers = await calibrateModel(loaded, {
    texts: pieces,
    onProgress: ({ done, total }) => task.update(percent(done, total)),
  }).finally(() => task.stop())
  await writeShort(file, calibrationText(layers, read))
  console.log(
    json ? JSON.stringify({ file, tokens: read, layers: layers.length }) : `${file}: ${layers.length} layers, from ${read} tokens`,
  )
}

async function besideModel(name: string): Promise<string> {
  const model = name === REFERENCE ? fileURLToPath(modelUrl) : name
  if (!existsSync(model)) throw new UsageError(`There is no model at "${name}" on this machine: give --out, or a folder or a .gguf file.`)
  return calibrationPath(model)
}
