import { DOCUMENTS } from 'virtual:documents'

export interface BuiltIn {
  id: string
  title: string
  text: string
  questions: readonly string[]
}

/** Where the user's own text stands among them. */
export const OWN = 'own'

export const documents: readonly BuiltIn[] = DOCUMENTS

export function builtIn(id: string): BuiltIn | undefined {
  return documents.find((document) => document.id === id)
}
