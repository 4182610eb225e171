import type { JSX } from 'preact'
import { localModel } from '../model.ts'
import { mode } from '../setting.ts'
import { bytes } from './format.ts'

/** How far this page's model is. */
export function ModelLine(): JSX.Element {
  const model = localModel()
  const state = model.state.value
  if (mode.value === 'server') return <p class="model">The server’s model answers.</p>
  switch (state.stage) {
    case 'fetch':
      return (
        <p class="model">
          <progress aria-label="Model" value={state.done} max={state.total} /> Fetching the model, {bytes(state.done)} of{' '}
          {bytes(state.total)}
        </p>
      )
    case 'start':
      return (
        <p class="model">
          <progress aria-label="Model" value={state.done} max={state.total} /> Starting the model
        </p>
      )
    case 'failed':
      return (
        <p class="model">
          {state.why}{' '}
          <button type="button" class="plain" onClick={() => void model.load().catch(() => {})}>
            Try again
          </button>
        </p>
      )
    case 'ready':
      return (
        <p class="model">
          The reference model is ready: 15 million parameters, in this browser{mode.value === 'webgpu' && ', with WebGPU'}.
        </p>
      )
    default:
      return <p class="model">Looking for the model.</p>
  }
}
