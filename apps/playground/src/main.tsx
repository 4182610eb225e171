import './without-eval.ts'
import { render } from 'preact'
import './styles/page.css'
import './styles/controls.css'
import './styles/results.css'
import { loadModel } from './model.ts'
import { findServer } from './server.ts'
import { readLink } from './setting.ts'
import { App } from './view/app.tsx'

readLink(location.hash)
addEventListener('hashchange', () => readLink(location.hash))
render(<App />, document.getElementById('page')!)
void findServer()
// The page says why, if it fails.
void loadModel().catch(() => {})
if (import.meta.env.PROD && 'serviceWorker' in navigator) void navigator.serviceWorker.register('./service-worker.js')
