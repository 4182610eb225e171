import type { JSX } from 'preact'
import { closeFile, open } from '../actions.ts'
import { chooseDocument, documentId, openedFile, ownText, source } from '../setting.ts'
import { bytes, count } from '../view/format.ts'
import { documents, OWN } from './documents.ts'
import { tokenCount } from './token-count.ts'

/** What is read first. */
export function DocumentPanel(): JSX.Element {
  const file = openedFile.value
  return (
    <section class="panel" aria-labelledby="document-title">
      <h2 id="document-title">
        Document <span class="quiet">{file ? `${count(file.tokens)} tokens` : tokenCount.value}</span>
      </h2>
      {file ? (
        <>
          <p>
            The cache in <strong>{file.name}</strong>, {bytes(file.bytes)}. Its document is not needed any more.
          </p>
          <button type="button" onClick={closeFile}>
            Back to a text
          </button>
        </>
      ) : (
        <TextChoice />
      )}
    </section>
  )
}

function TextChoice(): JSX.Element {
  const current = source()
  const text = current.kind === 'text' ? current.text : ''
  const write = (own: string): void => {
    ownText.value = own
    documentId.value = OWN
  }
  const take = async (files: FileList | null | undefined): Promise<void> => {
    const file = files?.[0]
    if (file?.name.endsWith('.kv')) await open(file)
    else if (file) write(await file.text())
  }
  return (
    <>
      <label for="document-choice" class="hidden">
        Which document
      </label>
      <select id="document-choice" value={documentId.value} onChange={({ currentTarget }) => chooseDocument(currentTarget.value)}>
        {documents.map(({ id, title }) => (
          <option key={id} value={id}>
            {title}
          </option>
        ))}
        <option value={OWN}>Your own text</option>
      </select>
      <label for="document-text" class="hidden">
        Text of the document
      </label>
      <textarea
        id="document-text"
        rows={7}
        spellcheck={false}
        placeholder="Paste a text here, or drop a file."
        value={text}
        onInput={({ currentTarget }) => write(currentTarget.value)}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault()
          void take(event.dataTransfer?.files)
        }}
      />
      {documentId.value === OWN && <p class="hint">Your own text stays in this browser: a copied link does not have it.</p>}
    </>
  )
}
