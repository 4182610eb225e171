import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Turns } from '../src/turns.ts'

/** Works for some milliseconds. */
function work(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

it('lets one run at a time, slice by slice, prompts and tokens in turn', async () => {
  const turns = new Turns()
  const order: string[] = []
  let inside = 0
  const job = async (name: string, kind: 'prompt' | 'token', slices: number): Promise<void> =>
    turns.run(kind, async () => {
      for (let i = 0; i < slices; i++) {
        await turns.next()
        expect(++inside).toBe(1)
        order.push(name)
        work(6)
        await Promise.resolve()
        inside--
      }
    })
  await Promise.all([...'abcdef'].map((name) => job(name, 'prompt', 3)).concat(job('token', 'token', 3)))
  expect(order).toHaveLength(21)
  // Six prompts in a row before each token would be 20.
  expect(order.lastIndexOf('token')).toBeLessThan(10)
  expect(new Set(order.slice(0, 12)).size).toBe(7)
})

it('lets events be handled between slices', async () => {
  const turns = new Turns()
  let events = 0,
    done = false
  const long = turns.run('prompt', async () => {
    for (let i = 0; i < 5; i++) {
      await turns.next()
      work(6)
    }
    done = true
  })
  while (!done) {
    await setImmediate()
    events++
  }
  await long
  expect(events).toBeGreaterThanOrEqual(5)
})

it('goes on after somebody failed', async () => {
  const turns = new Turns()
  await expect(turns.run('token', () => Promise.reject(new Error('mine')))).rejects.toThrow('mine')
  expect(await turns.run('prompt', () => Promise.resolve(1))).toBe(1)
})
