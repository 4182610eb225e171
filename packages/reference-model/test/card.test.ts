import { readFileSync } from 'node:fs'
import { modelUrl } from '@kvfold/reference-model'
import { describe, expect, it } from 'vitest'

interface Row {
  task: string
  length: number
  cache: string
  score: number
}

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')
const { rows } = JSON.parse(read('../scores.json')) as { rows: Row[] }
const full = (task: string, length: number): number =>
  rows.find((row) => row.task === task && row.length === length && row.cache === 'full')!.score

/** The cells of the card's table row of a task: the first such row, or the one of the SnapKV table. */
function cells(task: string, table: number): string[] {
  const lines = read('../README.md')
    .split('\n')
    .filter((line) => line.startsWith(`| ${task} |`))
  return lines[table]
    .split('|')
    .slice(2, -1)
    .map((cell) => cell.trim().split(' ')[0])
}

describe('the model card', () => {
  it('shows the measured scores', () => {
    for (const row of rows) {
      const column =
        row.cache === 'full'
          ? [1024, 4096, 8192].indexOf(row.length)
          : ['snapkv 512, max pooling', 'snapkv 512, avg pooling', 'snapkv 256, max pooling', 'snapkv 256, avg pooling'].indexOf(row.cache)
      const digits = row.task.startsWith('perplexity') ? 1 : 3
      const shown = cells(row.task, row.cache === 'full' ? 0 : 1)[column]
      expect(Math.abs(Number(shown) - row.score), `${row.task}, ${row.length}, ${row.cache}`).toBeLessThan(0.6 * 10 ** -digits)
    }
  })
})

describe('the shipped model', () => {
  it('is good enough to judge caches by', () => {
    for (const length of [1024, 4096, 8192]) {
      expect(full('one number needle', length)).toBeGreaterThanOrEqual(0.99)
      expect(full('one word needle', length)).toBeGreaterThanOrEqual(0.99)
    }
    for (const task of ['eight number needles', 'eight word needles']) {
      expect(full(task, 4096)).toBeGreaterThanOrEqual(0.95)
      expect(full(task, 8192)).toBeGreaterThanOrEqual(0.9)
    }
    for (const length of [4096, 8192]) {
      expect(full('32 key-value pairs', length)).toBeGreaterThanOrEqual(0.9)
      expect(full('most common word', length)).toBeGreaterThanOrEqual(0.9)
    }
  })

  it('is the one that the card describes', () => {
    expect(JSON.parse(readFileSync(new URL('config.json', modelUrl), 'utf8'))).toMatchObject({
      model_type: 'llama',
      hidden_size: 384,
      num_hidden_layers: 8,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 64,
      intermediate_size: 1024,
      vocab_size: 6144,
      rope_theta: 100_000,
      max_position_embeddings: 8704,
      tie_word_embeddings: true,
    })
    expect(readFileSync(new URL('model.safetensors', modelUrl)).length).toBe(29_905_512)
  })
})
