import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { serverState } from '../server.ts'
import { knowsWebgpu } from '../webgpu.ts'
import { status } from '../run.ts'
import { documentId, link, mode, openedFile, type Mode } from '../setting.ts'
import { OWN } from '../document/documents.ts'
import { theme, toggleTheme } from './theme.ts'

export function Header(): JSX.Element {
  return (
    <header>
      <div class="name">
        <h1>KVFold</h1>
        <p>A transformer’s key-value cache, kept small.</p>
      </div>
      <div class="tools">
        <ModeChoice />
        <CopyLink />
        <button type="button" class="plain" onClick={toggleTheme}>
          {theme.value === 'dark' ? 'Light' : 'Dark'}
        </button>
      </div>
    </header>
  )
}

function ModeChoice(): JSX.Element {
  const server = serverState.value
  const hint = server.there ? `The server’s model is ${server.model}.` : server.why
  return (
    <label class="mode" title={hint}>
      Run in{' '}
      <select
        value={mode.value}
        disabled={!(server.there || knowsWebgpu) || openedFile.value !== undefined || status.value === 'working'}
        onChange={({ currentTarget }) => (mode.value = currentTarget.value as Mode)}
      >
        <option value="browser">this browser</option>
        {knowsWebgpu && <option value="webgpu">this browser, WebGPU</option>}
        <option value="server" disabled={!server.there}>
          the server
        </option>
      </select>
    </label>
  )
}

function CopyLink(): JSX.Element {
  const said = useSignal('')
  const copy = async (): Promise<void> => {
    const address = link()
    history.replaceState(null, '', address)
    const isPartial = documentId.value === OWN || openedFile.value !== undefined
    try {
      await navigator.clipboard.writeText(address)
      said.value = isPartial ? 'Copied, without your own text.' : 'Copied.'
    } catch {
      said.value = 'The link is in the address bar.'
    }
  }
  return (
    <>
      <span class="said" role="status">
        {said}
      </span>
      <button type="button" class="plain" onClick={() => void copy()}>
        Copy link
      </button>
    </>
  )
}
