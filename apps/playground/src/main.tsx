import './without-eval.ts'
import { effect, untracked } from '@preact/signals'
import { render } from 'preact'
import './styles/page.css'
import './styles/controls.css'
import './styles/results.css'
import { localModel } from './model.ts'
import { findServer } from './server.ts'
import { mode, readLink, type Mode } from './setting.ts'
import { App } from './view/app.tsx'
import { checkWebgpu } from './webgpu.ts'

readLink(location.hash)
addEventListener('hashchange', () => readLink(location.hash))
render(<App />, document.getElementById('page')!)
void findServer()
effect(() => {
  const chosen = mode.value
  untracked(() => void start(chosen))
})
// Without one, where the browser denies it, the page needs the network the next time.
if (import.meta.env.PROD && 'serviceWorker' in navigator) navigator.serviceWorker.register('./service-worker.js').catch(() => {})

/** Starts the model that a choice needs. */
async function start(chosen: Mode): Promise<void> {
  if (chosen === 'webgpu') await checkWebgpu()
  if (mode.value !== chosen) return
  // The page says why, if it fails.
  await localModel()
    .load()
    .catch(() => {})
}
