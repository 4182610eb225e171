import { effect, signal } from '@preact/signals'
import { localModel } from '../model.ts'
import { mode, source } from '../setting.ts'
import { count } from '../view/format.ts'

/** How long the document is, as the model counts. */
export const tokenCount = signal('')

/** Milliseconds that the user may go on typing. */
const WAIT = 200

effect(() => {
  const asked = source()
  const about = mode.value === 'server' ? 'about ' : ''
  if (asked.kind !== 'text') return undefined
  const timer = setTimeout(() => void show(asked.text, about), WAIT)
  return () => clearTimeout(timer)
})

async function show(text: string, about: string): Promise<void> {
  try {
    const tokens = await localModel().engine.count(text)
    const now = source()
    if (now.kind === 'text' && now.text === text) tokenCount.value = `${about}${count(tokens)} tokens`
  } catch {
    tokenCount.value = ''
  }
}
