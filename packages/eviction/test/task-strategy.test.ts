import { taskStrategy } from '@kvfold/eviction'
import { expect, it } from 'vitest'
import { TASK_EXAMPLES } from '../src/task-examples.ts'
import { train } from '../src/task-strategy.ts'

it('tells requests that it was not trained on', () => {
  const all = (['max', 'average'] as const).flatMap((strategy) => TASK_EXAMPLES[strategy].map((request) => ({ strategy, request })))
  const right = all.filter(({ strategy, request }) => {
    const others = { ...TASK_EXAMPLES, [strategy]: TASK_EXAMPLES[strategy].filter((one) => one !== request) }
    return taskStrategy(request, train(others)) === strategy
  })
  expect(right.length / all.length).toBeGreaterThanOrEqual(0.8)
})

it('takes anything', () => {
  expect(taskStrategy('')).toBe('max')
  expect(taskStrategy('Ölçüm 数')).toBe('max')
  expect(taskStrategy('Summarize all of it')).toBe('average')
  expect(taskStrategy('Who was it?')).toBe('max')
})
