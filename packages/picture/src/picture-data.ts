import type { CacheHistory } from '@kvfold/kv-core/history'

/** What a picture shows. */
export interface PictureData {
  history: CacheHistory
  /** The text of every token that the cache has seen. */
  pieces: readonly string[]
  /** How many of them, from the first, are the document. Default: those of the first frame. */
  documentTokens?: number
}
