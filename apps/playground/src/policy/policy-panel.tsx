import type { JSX } from 'preact'
import { BudgetField } from './budget-field.tsx'
import { PolicyBuilder } from './builder.tsx'
import { filePolicy, problem, shownText, text } from './state.ts'

/** The policy as text and as choices. */
export function PolicyPanel(): JSX.Element {
  const isFixed = filePolicy.value !== undefined
  const isWrong = problem.value !== undefined
  return (
    <section class="panel" aria-labelledby="policy-title">
      <h2 id="policy-title">Policy</h2>
      <label for="policy-text" class="hidden">
        Policy as text
      </label>
      <textarea
        id="policy-text"
        class="code"
        rows={2}
        spellcheck={false}
        autocomplete="off"
        disabled={isFixed}
        aria-invalid={isWrong}
        aria-describedby="policy-problem"
        value={shownText.value}
        onInput={({ currentTarget }) => (text.value = currentTarget.value)}
      />
      <p id="policy-problem" class={isWrong ? 'problem' : 'hint'} role="status">
        {isFixed
          ? 'The file’s cache was made under this policy.'
          : (problem.value ?? 'Presets joined by +, or full. Edit the text, or choose below.')}
      </p>
      <BudgetField disabled={isFixed} />
      <PolicyBuilder disabled={isFixed} />
    </section>
  )
}
