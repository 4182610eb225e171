import { fileURLToPath } from 'node:url'
import { keyValues, needles, Pool, PromptWriter, TASK_TEXT, type Facts } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import { createRandom } from '@kvfold/kv-core'
import { loadTokenizer } from '@kvfold/models'
import { directoryFiles } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import type { Plugin } from 'vite'

const MODULE = 'virtual:documents'

interface Recipe {
  id: string
  title: string
  /** Which of the held-out texts it is made of. */
  text: RegExp
  tokens: number
  make(pool: Pool): Facts
}

const RECIPES: readonly Recipe[] = [
  {
    id: 'numbers',
    title: 'Moby-Dick, with eight numbers hidden in it',
    text: /^CHAPTER/,
    tokens: 4000,
    make: (pool) => needles(TASK_TEXT, pool, 'needle-number', 8),
  },
  {
    id: 'words',
    title: 'Presidents’ speeches, with eight words hidden in them',
    text: /^(My |Fellow|Thank|Mr\.|Senator|PRESIDENT)/i,
    tokens: 3000,
    make: (pool) => needles(TASK_TEXT, pool, 'needle-word', 8),
  },
  {
    id: 'records',
    title: 'The Rust book, with 32 records hidden in it',
    text: /^(##|<!--)/,
    tokens: 2000,
    make: (pool) => keyValues(TASK_TEXT, pool),
  },
]

/** Questions of each document that the page offers. */
const QUESTIONS = 5

/** The page's own documents: texts that the reference model never saw, with facts hidden in them. */
export function documents(): Plugin {
  return {
    name: 'documents',
    resolveId: (id) => (id === MODULE ? `\0${MODULE}` : undefined),
    load: async (id) => (id === `\0${MODULE}` ? `export const DOCUMENTS = ${JSON.stringify(await make())}` : undefined),
  }
}

async function make(): Promise<object[]> {
  const tokenizer = (await loadTokenizer(directoryFiles(fileURLToPath(modelUrl))))!
  const texts = await heldOutDocuments()
  return RECIPES.map(({ id, title, text, tokens, make }, seed) => {
    const pool = new Pool(TASK_TEXT, createRandom(seed + 1))
    const facts = make(pool)
    const writer = new PromptWriter(
      TASK_TEXT,
      tokenizer,
      texts.filter((document) => text.test(document)),
    )
    return {
      id,
      title,
      text: tokenizer.decode(writer.document(facts, tokens, pool)),
      questions: facts.questions.slice(0, QUESTIONS).map(({ prompt }) => asked(prompt)),
    }
  })
}

/** The question alone, as a user would type it. */
function asked(prompt: string): string {
  return /Question: (.*)\n/.exec(prompt)![1]
}
