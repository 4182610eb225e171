import type { CacheHistory } from '@kvfold/kv-core/history'
import type { JSX } from 'preact'

export interface PictureProps {
  history: CacheHistory
  pieces: string[]
  documentTokens: number
}

/** What was kept of every token. */
export function Picture({ history, pieces, documentTokens }: PictureProps): JSX.Element {
  return (
    <p>
      {history.frames.length} frames of {pieces.length} tokens, {documentTokens} of them the document's.
    </p>
  )
}
