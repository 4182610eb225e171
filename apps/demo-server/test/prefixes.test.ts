import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PrefixTree } from '../src/prefix-tree.ts'
import { asked, chat, document, open, QUESTION, withServer, type Answer } from './server.ts'

describe('the tree', () => {
  const tokens = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 8 })
  it('finds what a plain list of sequences finds', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), tokens), { maxLength: 30 }), tokens, (changes, asked) => {
        const tree = new PrefixTree<number>()
        const plain = new Map<string, { own: number[]; value: number }>()
        for (const [i, [adds, own]] of changes.entries()) {
          if (adds) {
            tree.set(own, i)
            plain.set(own.join(), { own, value: i })
          } else {
            tree.delete(own)
            plain.delete(own.join())
          }
        }
        const expected = [...plain.values()]
          .filter(({ own }) => own.every((token, i) => token === asked[i]))
          .sort((a, b) => a.own.length - b.own.length)
          .map(({ own, value }) => ({ length: own.length, value }))
        expect(tree.along(asked)).toEqual(expected)
        expect(tree.get(asked)).toBe(plain.get(asked.join())?.value)
      }),
    )
  })
})

describe('prompts that begin alike', () => {
  const at = withServer()

  const text = document(40)
  const ask = async (question: string, kv_policy?: string, content: string = text): Promise<Answer> =>
    chat(at.server, { messages: asked(content, question), max_tokens: 20, kv_policy })
  const cached = ({ usage }: Answer): number => usage.prompt_tokens_details.cached_tokens
  const fresh = async (...args: Parameters<typeof ask>): Promise<Answer> => {
    const own = at.server
    at.server = await open(at.loaded)
    const answer = await ask(...args)
    await at.server.close(0)
    at.server = own
    return answer
  }

  it('share all whole blocks, without a policy, and answer as if they did not', async () => {
    const first = await ask('What day is it?')
    expect(cached(first)).toBe(0)
    const second = await ask(QUESTION)
    expect(cached(second)).toBe(Math.floor((first.usage.prompt_tokens - 20) / 256) * 256)
    expect(second.choices).toEqual((await fresh(QUESTION)).choices)
    // A prompt that leaves in the middle.
    const other = await ask(QUESTION, undefined, `${text.slice(0, 2000)} And so on.`)
    expect(cached(other)).toBeGreaterThanOrEqual(256)
    expect(cached(other) % 256).toBe(0)
    expect(other.choices).toEqual((await fresh(QUESTION, undefined, `${text.slice(0, 2000)} And so on.`)).choices)
  })

  it('are not read at all when they are the same', async () => {
    const first = await ask(QUESTION)
    const second = await ask(QUESTION)
    expect(cached(second)).toBe(second.usage.prompt_tokens)
    expect(second.choices).toEqual(first.choices)
    expect(second.kv.rows).toBe(first.kv.rows)
  })

  it('go on from the end of a prompt that was answered', async () => {
    const first = await ask(QUESTION)
    const messages = [
      ...asked(text),
      { role: 'assistant', content: first.choices[0].message.content },
      { role: 'user', content: 'What is the magic number of quiet harbor?' },
    ]
    expect(cached(await chat(at.server, { messages, max_tokens: 20 }))).toBe(first.usage.prompt_tokens)
  })

  const policy = 'snapkv(budget=128, window=16, kernel=7) + kivi(bits=4, residual=32)'
  it('share, under a policy, only whole prompts of that policy', async () => {
    const first = await ask('What day is it?', policy)
    // Another question: the first prompt was compressed for its own.
    expect(cached(await ask(QUESTION, policy))).toBe(0)
    // Another policy, and none.
    expect(cached(await ask('What day is it?', 'snapkv(budget=64, window=16, kernel=7)'))).toBe(0)
    expect(cached(await ask('What day is it?'))).toBe(0)
    // The same prompt, and one that goes on from its end.
    const again = await ask('What day is it?', policy)
    expect(cached(again)).toBe(first.usage.prompt_tokens)
    expect(again.choices).toEqual(first.choices)
    expect(again.kv.rows).toBe(first.kv.rows)
    const messages = [...asked(text, 'What day is it?'), { role: 'assistant', content: 'Day 40.' }, { role: 'user', content: 'Why?' }]
    expect(cached(await chat(at.server, { messages, max_tokens: 3, kv_policy: policy }))).toBe(first.usage.prompt_tokens)
  })

  it('count shared pages once', async () => {
    const { budget } = at.server.engine.shared
    const { kv } = await ask('What day is it?')
    const one = budget.held
    expect(one).toBeGreaterThan(kv.bytes * 0.9)
    for (let i = 0; i < 4; i++) await ask(`What day was it before day ${i}?`)
    expect(budget.held).toBeLessThan(1.6 * one)
  })
})
