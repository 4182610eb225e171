export interface LoadProgress {
  /** Looked at after each part of the model. */
  signal?: AbortSignal
  /** Called after each part (a layer, an end of the model) is in memory. */
  onProgress?: (progress: { done: number; total: number }) => void
}
