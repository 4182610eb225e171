import type { JSX } from 'preact'
import { ask, stop } from '../actions.ts'
import { builtIn } from '../document/documents.ts'
import { problem } from '../policy/state.ts'
import { status } from '../run.ts'
import { aware, documentId, openedFile, question, source } from '../setting.ts'

/** What is asked, and the button that asks it. */
export function QuestionPanel(): JSX.Element {
  const known = openedFile.value ? [] : (builtIn(documentId.value)?.questions ?? [])
  const why = reason()
  const isWorking = status.value === 'working'
  return (
    <section class="panel" aria-labelledby="question-title">
      <h2 id="question-title">Question</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (status.value !== 'idle') return
          // On a phone they are far below.
          if (matchMedia('(max-width: 900px)').matches) document.getElementById('results')!.scrollIntoView()
          void ask()
        }}
      >
        <label for="question" class="hidden">
          Question
        </label>
        <input
          id="question"
          type="text"
          autocomplete="off"
          list="questions"
          value={question.value}
          onInput={({ currentTarget }) => (question.value = currentTarget.value)}
        />
        <datalist id="questions">
          {known.map((text) => (
            <option key={text} value={text} />
          ))}
        </datalist>
        {known.length > 0 && <Suggestions known={known} />}
        <label class="check">
          <input
            type="checkbox"
            checked={aware.value && !openedFile.value}
            disabled={openedFile.value !== undefined}
            onChange={({ currentTarget }) => (aware.value = currentTarget.checked)}
          />
          The policy sees the question before it compresses
        </label>
        <div class="buttons">
          <button type="submit" class="main" disabled={why !== undefined} aria-disabled={isWorking}>
            {openedFile.value ? 'Ask' : 'Ask both'}
          </button>
          <button type="button" disabled={!isWorking} onClick={stop}>
            Stop
          </button>
          <span class="hint why">{why}</span>
        </div>
      </form>
    </section>
  )
}

function Suggestions({ known }: { known: readonly string[] }): JSX.Element {
  return (
    <ul class="suggestions" aria-label="Questions that the document answers">
      {known.map((text) => (
        <li key={text}>
          <button type="button" class="plain" aria-pressed={question.value === text} onClick={() => (question.value = text)}>
            {text}
          </button>
        </li>
      ))}
    </ul>
  )
}

/** Why nothing can be asked yet. */
function reason(): string | undefined {
  const asked = source()
  if (asked.kind === 'text' && asked.text.trim() === '') return 'There is no document yet.'
  if (question.value.trim() === '') return 'There is no question yet.'
  return problem.value === undefined ? undefined : 'The policy cannot run: see below.'
}
