import type { MethodInfo, PresetText } from '@kvfold/kv-core'
import type { JSX } from 'preact'
import { ParamField } from './param-field.tsx'

/** What a method is, where it comes from, and its parameters. */
export function ParamFields({ preset, about }: { preset: PresetText; about: MethodInfo }): JSX.Element {
  const { paper, summary, params } = about
  const others = params.filter(({ name }) => name !== 'budget')
  const given = Object.keys(preset.params).filter((name) => name !== 'budget').length
  return (
    <div class="method">
      <p>
        {summary}{' '}
        {paper && (
          <cite>
            <PaperLink {...paper} />, {paper.year}
          </cite>
        )}
      </p>
      {others.length > 0 && (
        <details>
          <summary>
            {others.length} parameter{others.length > 1 ? 's' : ''}
            {given > 0 && `, ${given} set`}
          </summary>
          <div class="params">
            {others.map((param) => (
              <ParamField key={param.name} method={preset.method} param={param} value={preset.params[param.name]} />
            ))}
          </div>
        </details>
      )}
    </div>
  )
}

function PaperLink({ title, arxiv }: { title: string; arxiv?: string }): JSX.Element {
  if (!arxiv) return <>{title}</>
  return (
    <a href={`https://arxiv.org/abs/${arxiv}`} target="_blank" rel="noreferrer">
      {title}
    </a>
  )
}
