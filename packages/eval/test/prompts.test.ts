import { readFile } from 'node:fs/promises'
import { createRandom } from '@kvfold/kv-core'
import { Tokenizer } from '@kvfold/models'
import { modelUrl } from '@kvfold/reference-model'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { EvaluationError, needles, Pool, PromptWriter, TASK_TEXT, TASKS } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'

let tokenizer: Tokenizer, writer: PromptWriter

beforeAll(async () => {
  tokenizer = new Tokenizer(JSON.parse(await readFile(new URL('tokenizer.json', modelUrl), 'utf8')) as object)
  writer = new PromptWriter(TASK_TEXT, tokenizer, await heldOutDocuments())
})

const pool = (seed: number): Pool => new Pool(TASK_TEXT, createRandom(seed))

describe('prompts', () => {
  it('have exactly the length asked for, hold every fact in order, and end with the question', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(TASKS)), fc.integer({ min: 900, max: 1500 }), fc.integer(), (task, length, seed) => {
        const draws = pool(seed)
        const facts = TASKS[task].make(TASK_TEXT, draws)
        const question = facts.questions[0]
        const { context, question: asked } = writer.prompt(facts, question, length, draws)
        expect(context.length + asked.length).toBe(length)
        expect(context[0]).toBe(tokenizer.id('<|bos|>'))
        expect(tokenizer.decode(asked)).toBe(question.prompt)
        const text = tokenizer.decode(context)
        let at = 0
        for (const fact of facts.facts) {
          at = text.indexOf(fact, at)
          expect(at).toBeGreaterThan(0)
          expect(text.slice(at - 2, at)).toMatch(/[.!?] /)
          at += fact.length
        }
      }),
      { numRuns: 30 },
    )
  })

  it('depend on the seed alone', () => {
    const make = (seed: number): unknown => {
      const draws = pool(seed)
      const facts = TASKS.needles.make(TASK_TEXT, draws)
      return writer.prompt(facts, facts.questions[3], 800, draws)
    }
    expect(make(4)).toEqual(make(4))
    expect(make(4)).not.toEqual(make(5))
  })

  it('use values that training never saw', () => {
    const { words, reserved } = TASK_TEXT
    for (let seed = 0; seed < 200; seed++) {
      const draws = pool(seed)
      const number = Number(draws.number(7)),
        [adjective, noun] = draws.key().split(' ')
      expect(number % reserved.numberModulus).toBe(0)
      expect(String(number)).toHaveLength(7)
      expect((words.adjectives.indexOf(adjective) + words.nouns.indexOf(noun)) % reserved.keyModulus).toBe(0)
      expect(words.evaluation).toEqual(expect.arrayContaining(draws.words(3)))
    }
  })

  it('that are too short for their facts are refused', () => {
    const facts = needles(TASK_TEXT, pool(1), 'needle-number', 8)
    expect(() => writer.document(facts, 60, pool(1))).toThrow(EvaluationError)
  })
})
