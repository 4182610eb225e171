import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { open, save } from '../actions.ts'
import { problem } from '../policy/state.ts'
import { status } from '../run.ts'
import { mode, source } from '../setting.ts'

/** The compressed cache as a file: saved after the document, before any question. */
export function FilePanel(): JSX.Element {
  const coded = useSignal(false)
  const isServer = mode.value === 'server'
  const asked = source()
  const isEmpty = asked.kind === 'text' && asked.text.trim() === ''
  const isBusy = status.value === 'working'
  const take = (files: FileList | null | undefined): void => {
    if (files?.[0] && !isBusy) void open(files[0])
  }
  return (
    <section class="panel" aria-labelledby="file-title">
      <h2 id="file-title">Cache as a file</h2>
      <p class="hint">
        {isServer
          ? 'The cache is the server’s, and no request makes it write or send files. Run in this browser to save one.'
          : 'The document’s compressed cache, for questions without the document. The kvfold command reads and writes the same files.'}
      </p>
      <label class="check">
        <input
          type="checkbox"
          checked={coded.value}
          disabled={isServer}
          onChange={({ currentTarget }) => (coded.value = currentTarget.checked)}
        />
        Coded: smaller, without loss
      </label>
      <div class="buttons">
        <button
          type="button"
          disabled={isServer || isBusy || isEmpty || problem.value !== undefined}
          onClick={() => void save(coded.value)}
        >
          Save
        </button>
        <label
          class="file"
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            event.preventDefault()
            take(event.dataTransfer?.files)
          }}
        >
          Open or drop a file
          <input
            type="file"
            accept=".kv"
            disabled={isBusy}
            onChange={({ currentTarget }) => {
              take(currentTarget.files)
              // So that the same file can be chosen again.
              currentTarget.value = ''
            }}
          />
        </label>
      </div>
    </section>
  )
}
