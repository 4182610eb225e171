import { effect, signal } from '@preact/signals'
import { builtIn, documents, OWN } from './document/documents.ts'
import type { OpenedFile, Source } from './engine/engine.ts'
import { filePolicy, text as policy } from './policy/state.ts'

/** Where answers are made: in this browser, its products on the GPU or not, or on the server. */
export type Mode = 'browser' | 'webgpu' | 'server'

/** What the user chose. The policy has a file of its own. */
export const documentId = signal(documents[0].id)
export const ownText = signal('')
export const openedFile = signal<OpenedFile | undefined>(undefined)
export const question = signal(documents[0].questions[0])
export const aware = signal(false)
export const mode = signal<Mode>('browser')

effect(() => {
  filePolicy.value = openedFile.value?.policy
})

/** What is asked about now. */
export function source(): Source {
  if (openedFile.value) return { kind: 'file', file: openedFile.value }
  return { kind: 'text', text: builtIn(documentId.value)?.text ?? ownText.value }
}

/** A link to this setting. A text of the user's own stays out of it. */
export function link(): string {
  const setting = new URLSearchParams({ policy: policy.value, question: question.value })
  if (documentId.value !== OWN && !openedFile.value) setting.set('document', documentId.value)
  if (aware.value) setting.set('aware', '1')
  if (mode.value !== 'browser') setting.set('on', mode.value)
  return new URL(`#${setting}`, location.href).href
}

/** Takes over what a link says. */
export function readLink(hash: string): void {
  const setting = new URLSearchParams(hash.replace(/^#/, ''))
  const document = builtIn(setting.get('document') ?? '')
  if (document) {
    documentId.value = document.id
    question.value = document.questions[0]
  } else if (setting.has('policy')) documentId.value = OWN
  question.value = setting.get('question') ?? question.value
  policy.value = setting.get('policy') ?? policy.value
  aware.value = setting.has('aware')
  const on = setting.get('on')
  mode.value = on === 'server' || on === 'webgpu' ? on : 'browser'
}

/** Another document, with a question that goes with it. */
export function chooseDocument(id: string): void {
  openedFile.value = undefined
  documentId.value = id
  const document = builtIn(id)
  if (document && !document.questions.includes(question.value)) question.value = document.questions[0]
}
