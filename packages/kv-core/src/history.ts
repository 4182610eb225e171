export { CacheHistory, type Fate, type HistoryFrame, type HistoryJson, type RowStorage } from './cache-history.ts'
export { HistoryRecorder } from './record-history.ts'
