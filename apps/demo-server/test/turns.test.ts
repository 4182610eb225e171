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
  await Promise.all([job('p', 'prompt', 4), job('q', 'prompt', 4), job('t', 'token', 3), job('u', 'token', 3)])
  // Two tokens never wait for more than a slice of each other's and one of a prompt.
  expect(order.slice(0, 12).join('')).toBe('ptqupt' + 'qupt' + 'qu')
  expect(order.slice(12).join('')).toBe('pq')
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
