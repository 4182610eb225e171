import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDetokenizer } from '../src/tokenizer/detokenizer.ts'
import { tokenizerFromGguf } from '../src/tokenizer/gguf-tokenizer.ts'
import { Tokenizer } from '../src/tokenizer/tokenizer.ts'

/** GPT-2's printable stand-ins for bytes. */
const BYTES = Array.from({ length: 256 }, (_, byte) => {
  const plain = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
  const before = Array.from({ length: byte }, (_, b) => b).filter((b) => !plain(b)).length
  return String.fromCodePoint(plain(byte) ? byte : 256 + before)
})
const BOS = 256,
  END = 257
const byteLevel = (changes: object = {}): Record<string, unknown> => ({
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'smollm',
  'tokenizer.ggml.tokens': [...BYTES, '<|bos|>', '<|end|>', 'he', 'll', 'hell', 'hello', 'Ġhello', '12', 'éĹ'],
  'tokenizer.ggml.token_type': [...BYTES.map(() => 1), 3, 3, 1, 1, 1, 1, 1, 1, 1],
  'tokenizer.ggml.merges': ['h e', 'l l', 'he ll', 'hell o', 'Ġ hello', '1 2'],
  'tokenizer.ggml.bos_token_id': BOS,
  'tokenizer.ggml.eos_token_id': END,
  ...changes,
})
const gguf = (changes?: object): Tokenizer => tokenizerFromGguf(byteLevel(changes))!
const code = (text: string): number[] => [...new TextEncoder().encode(text)]

describe('byte-level BPE from GGUF metadata', () => {
  test('merges, control tokens, a first token', () => {
    const tokenizer = gguf()
    expect(tokenizer.encode('hello hello')).toEqual([261, 262])
    expect(tokenizer.encode('<|bos|>hell<|end|>')).toEqual([BOS, 260, END])
    expect(tokenizer.encode('')).toEqual([])
    expect(gguf({ 'tokenizer.ggml.add_bos_token': true }).encode('hello')).toEqual([BOS, 261])
    expect(gguf({ 'tokenizer.ggml.add_bos_token': true }).encode('hello', { special: false })).toEqual([261])
    expect([tokenizer.id('<|end|>'), tokenizer.content(261), tokenizer.isSpecial(END), tokenizer.isSpecial(261)]).toEqual([
      END,
      'hello',
      true,
      false,
    ])
  })
  test('cuts digits as its kind says', () => {
    expect(gguf().encode('12')).toEqual(code('12'))
    expect(gguf({ 'tokenizer.ggml.pre': 'llama-bpe' }).encode('12', { special: false })).toEqual([263])
    expect(gguf({ 'tokenizer.ggml.pre': 'qwen2' }).encode('12')).toEqual(code('12'))
    expect(gguf({ 'tokenizer.ggml.pre': 'gpt-2' }).encode('12')).toEqual([263])
  })
  test('decodes; special tokens leave nothing unless asked for', () => {
    expect(gguf().decode([BOS, 261, 262, END])).toBe('hello hello')
    expect(gguf().decode([BOS, 261], { special: true })).toBe('<|bos|>hello')
    expect(gguf().decode([])).toBe('')
  })
  test('any text comes back', () => {
    const tokenizers = ['smollm', 'llama-bpe', 'tekken', 'default'].map((pre) => gguf({ 'tokenizer.ggml.pre': pre }))
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        for (const tokenizer of tokenizers) expect(tokenizer.decode(tokenizer.encode(text, { special: false }))).toBe(text)
      }),
      { numRuns: 200 },
    )
  })
  test('says what is wrong', () => {
    expect(tokenizerFromGguf({})).toBeUndefined()
    expect(() => gguf({ 'tokenizer.ggml.pre': 'new' })).toThrow(/Pre-tokenizer 'new' is not supported: use one of/)
    expect(() => gguf({ 'tokenizer.ggml.model': 'bert' })).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_MODEL' }))
    expect(() => gguf({ 'tokenizer.ggml.tokens': undefined })).toThrow(expect.objectContaining({ code: 'MODEL_FORMAT' }))
    expect(() => gguf({ 'tokenizer.ggml.merges': undefined })).toThrow(expect.objectContaining({ code: 'MODEL_FORMAT' }))
    expect(() => new Tokenizer({})).toThrow(expect.objectContaining({ code: 'MODEL_FORMAT' }))
  })
})

describe('SentencePiece from GGUF metadata', () => {
  const pieces: [string, number][] = [
    ['▁', -1],
    ['h', -2],
    ['e', -3],
    ['l', -4],
    ['o', -5],
    ['he', 9],
    ['ll', 8],
    ['llo', 7],
    ['hello', 6],
    ['▁hello', 5],
  ]
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`)
  const metadata = {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': ['<unk>', '<s>', '</s>', ...bytes, ...pieces.map(([piece]) => piece)],
    'tokenizer.ggml.scores': [0, 0, 0, ...bytes.map(() => 0), ...pieces.map(([, score]) => score)],
    'tokenizer.ggml.token_type': [2, 3, 3, ...bytes.map(() => 6), ...pieces.map(() => 1)],
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.unknown_token_id': 0,
  }
  const tokenizer = tokenizerFromGguf(metadata)!
  const id = (piece: string): number => metadata['tokenizer.ggml.tokens'].indexOf(piece)

  test('merges by score, unknown characters as bytes, a first token', () => {
    expect(tokenizer.encode('hello hello')).toEqual([1, id('▁hello'), id('▁hello')])
    expect(tokenizer.encode('é', { special: false })).toEqual([id('▁'), id('<0xC3>'), id('<0xA9>')])
    expect(() => tokenizerFromGguf({ ...metadata, 'tokenizer.ggml.scores': [1] })).toThrow(
      expect.objectContaining({ code: 'MODEL_FORMAT' }),
    )
  })
  test('any text comes back, whole and streamed', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter((text) => !text.includes('▁')),
        (text) => {
          const ids = tokenizer.encode(text)
          expect(tokenizer.decode(ids)).toBe(text)
          const stream = tokenizer.stream()
          expect(ids.map((token) => stream.push(token)).join('') + stream.end()).toBe(text)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('streaming', () => {
  test('never gives out part of a character', () => {
    const tokenizer = gguf()
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !text.includes('\ufffd')),
        (text) => {
          const stream = tokenizer.stream()
          const given = code(text).map((byte) => stream.push(BYTES.indexOf(tokenizer.content(byte)!)))
          expect(given.join('') + stream.end()).toBe(text)
          for (const part of given) expect(part).not.toMatch(/\p{Surrogate}/u)
          expect(given.join('')).not.toContain('\ufffd')
        },
      ),
      { numRuns: 200 },
    )
  })
  test('a broken character does not hold back what follows; the end gives what is left', () => {
    const stream = gguf().stream()
    expect([0xf0, 0x9f, 0x61, 0x62].map((byte) => stream.push(byte)).join('')).toMatch(/^\ufffd+ab$/)
    expect([stream.push(0xe2), stream.end(), stream.end()]).toEqual(['', '\ufffd', ''])
  })
  test('decodes a window of a few tokens, however long the text', () => {
    let longest = 0
    const stream = createDetokenizer((tokens) => {
      longest = Math.max(longest, tokens.length)
      return tokens.map((token) => `${token} `).join('')
    })
    for (let i = 0; i < 1000; i++) expect(stream.push(i)).toBe(`${i} `)
    expect(longest).toBe(2)
  })
})

describe('chat templates', () => {
  const CHATML =
    `{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}` +
    `{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`
  const messages = [{ role: 'user', content: 'hello' }]

  test('render, with or without the opening of an answer', () => {
    const tokenizer = gguf({ 'tokenizer.chat_template': CHATML })
    expect(tokenizer.chat(messages)).toBe('<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n')
    expect(tokenizer.chat(messages, { generationPrompt: false })).toBe('<|im_start|>user\nhello<|im_end|>\n')
    expect(tokenizer.decode(tokenizer.encodeChat(messages))).toBe(tokenizer.chat(messages))
  })
  test('see the first and last token, and variables', () => {
    const tokenizer = gguf({ 'tokenizer.chat_template': '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ mood }}' })
    expect(tokenizer.chat(messages, { variables: { mood: '!' } })).toBe('<|bos|>hello<|end|>!')
    // No second first token.
    expect(tokenizer.encodeChat(messages)).toEqual([BOS, 261, END])
  })
  test('their refusals are typed errors', () => {
    expect(() => gguf().chat(messages)).toThrow(/no chat template/)
    const strict = gguf({ 'tokenizer.chat_template': "{{ raise_exception('roles must alternate') }}" })
    expect(() => strict.chat(messages)).toThrow(
      expect.objectContaining({ code: 'MODEL_INPUT', message: expect.stringContaining('roles must alternate') }),
    )
    expect(() => gguf({ 'tokenizer.chat_template': '{% if %}' }).chat(messages)).toThrow(expect.objectContaining({ code: 'MODEL_INPUT' }))
  })
})
