import type { JSX } from 'preact'
import { DocumentPanel } from '../document/document-panel.tsx'
import { headline } from '../headline.ts'
import { Picture } from '../picture/picture.tsx'
import { PolicyPanel } from '../policy/policy-panel.tsx'
import { answers, failure, picture } from '../run.ts'
import { Answers } from './answers.tsx'
import { BytesChart } from './bytes-chart.tsx'
import { FilePanel } from './file-panel.tsx'
import { Header } from './header.tsx'
import { ModelLine } from './model-line.tsx'
import { QuestionPanel } from './question-panel.tsx'

export function App(): JSX.Element {
  return (
    <>
      <Header />
      <main>
        <div class="setting">
          <DocumentPanel />
          <QuestionPanel />
          <PolicyPanel />
          <FilePanel />
        </div>
        <div class="results" id="results">
          <p class={failure.value ? 'headline problem' : 'headline'} role="status">
            {headline()}
          </p>
          <ModelLine />
          <Answers />
          <BytesChart />
          <section class="picture" aria-labelledby="picture-title">
            <h2 id="picture-title">What was kept</h2>
            <Notices />
            {picture.value ? (
              <Picture {...picture.value} />
            ) : (
              <p class="hint">Every token of the document, layer by layer, once there is an answer.</p>
            )}
          </section>
        </div>
      </main>
    </>
  )
}

/** What a cache says about how its policy ran. */
function Notices(): JSX.Element {
  const notices = answers.small.value.stats?.notices ?? []
  return (
    <>
      {notices.map((notice) => (
        <p key={notice} class="hint">
          {notice}
        </p>
      ))}
    </>
  )
}
