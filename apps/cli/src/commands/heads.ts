import type { Command } from 'commander'
import pc from 'picocolors'
import { UsageError } from '../errors.ts'
import { load, REFERENCE } from '../load.ts'
import { checkFolder, writeShort } from '../output-file.ts'
import { COPIES, retrievalProfile, SAMPLED, type ProfiledHead } from '../retrieval-profile.ts'
import { percent, startTask } from '../terminal/task.ts'
import { table } from '../terminal/table.ts'
import { integer, number } from './options.ts'

/** The paper's block. */
const BLOCK = 2500
/** Heads that are shown besides those chosen. */
const OTHERS = 6

interface HeadsOptions {
  model: string
  out?: string
  block?: number
  induction: number
  echo: number
  seed: number
  json?: boolean
}

export function headsCommand(program: Command): void {
  program
    .command('heads')
    .summary("find a model's retrieval heads, for razorattention")
    .description(
      `Finds the heads that look far back, by RazorAttention's test: the model reads its first token and a block of random tokens ${COPIES} times over. A head's induction is how much of its attention lies on the tokens after earlier copies of the token at hand, its echo how much on the copies themselves; both are means over ${SAMPLED} evenly spaced tokens of all that have an earlier copy, or over all if there are fewer. A KV head counts as its best query head.`,
    )
    .option('-m, --model <model>', 'reference, a folder, a .gguf file, or a repository on the Hugging Face hub', REFERENCE)
    .option('-o, --out <file>', 'write the profile there, as JSON')
    .option('--block <n>', `random tokens of the block (default: ${BLOCK}, or what fits the model's positions)`, integer(2))
    .option('--induction <share>', 'share of all KV heads that is chosen by induction', number(0, 1), 0.14)
    .option('--echo <share>', 'share of all KV heads that is chosen by echo', number(0, 1), 0.01)
    .option('--seed <n>', 'of the random tokens', integer(0), 1)
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  kvfold heads\n  kvfold heads -m model.gguf -o heads.json --induction 0.2')
    .action(run)
}

async function run({ out, seed, induction, echo, json = false, ...options }: HeadsOptions): Promise<void> {
  if (out !== undefined) await checkFolder(out)
  const loaded = await load(options.model, json)
  const block = checkBlock(options.block, loaded.model.maxPositions)
  const task = startTask(`Reading ${COPIES * block + 1} tokens`, json)
  const { heads, policy } = await retrievalProfile(loaded, {
    block,
    seed,
    induction,
    echo,
    onProgress: ({ done, total }) => task.update(percent(done, total)),
  }).finally(() => task.stop())
  const profile = { model: options.model, block, seed, heads, policy }
  if (out !== undefined) await writeShort(out, `${JSON.stringify(profile, undefined, 2)}\n`)
  console.log(json ? JSON.stringify(profile) : `${print(heads)}\n\n${policy}`)
}

function checkBlock(block: number | undefined, positions: number): number {
  const most = Math.floor((positions - 1) / COPIES)
  if (block !== undefined && block > most)
    throw new UsageError(
      `A block of ${block} tokens, ${COPIES} times over, does not fit this model, which knows ${positions} positions: give at most ${most}.`,
    )
  return block ?? Math.min(BLOCK, most)
}

function print(heads: readonly ProfiledHead[]): string {
  const ranked = heads.toSorted((a, b) => Number(b.retrieval) - Number(a.retrieval) || b.induction - a.induction)
  const shown = ranked.slice(0, heads.filter(({ retrieval }) => retrieval).length + OTHERS)
  return table(
    ['layer', 'KV head', 'echo', 'induction', 'chosen'],
    shown.map(({ layer, head, echo, induction, retrieval }) => [
      String(layer),
      String(head),
      echo.toFixed(4),
      induction.toFixed(4),
      retrieval ? pc.green('yes') : '',
    ]),
    [0, 1, 2, 3],
  )
}
