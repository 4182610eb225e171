declare module 'virtual:documents' {
  /** Made when the page is built: see plugins/documents.ts. */
  export const DOCUMENTS: readonly { id: string; title: string; text: string; questions: string[] }[]
}

declare module 'virtual:model-files' {
  /** Of the folder `model`. */
  export const MODEL_FILES: readonly { name: string; size: number; hash: string }[]
}
