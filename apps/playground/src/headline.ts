import { bytes, compared } from './view/format.ts'
import { localModel } from './model.ts'
import { activity, answers, failure, firstDifference, sides, status } from './run.ts'
import { mode } from './setting.ts'

/** What there is to say in one line: what is going on, or how it ended. */
export function headline(): string {
  if (failure.value) return failure.value
  if (status.value === 'working') return working()
  const { full, small } = { full: answers.full.value, small: answers.small.value }
  if (!small.stats) return sides.value.length === 1 ? 'The cache is loaded. Ask about its document.' : 'One question, two caches.'
  if (!full.stats) {
    const { fullF32Bytes, bytes: held } = small.stats
    return `${compared(fullF32Bytes, held)}: a full cache takes ${bytes(fullF32Bytes)}`
  }
  const ratio = compared(full.stats.bytes, small.stats.bytes)
  const at = firstDifference(full.tokens, small.tokens)
  if (at === undefined) return `${ratio}, same answer`
  return at === 0 ? `${ratio}, another answer` : `${ratio}, same for ${at} token${at > 1 ? 's' : ''}, then different`
}

function working(): string {
  const model = localModel().state.value
  if (mode.value !== 'server' && model.stage === 'fetch') return `Fetching the model: ${bytes(model.done)} of ${bytes(model.total)}`
  if (mode.value !== 'server' && model.stage === 'start') return 'Starting the model'
  const { full, small } = { full: answers.full.value, small: answers.small.value }
  if (activity.value !== 'Answering') return `${activity.value} …`
  if (sides.value.includes('full') && full.read < 1) return 'Reading with the full cache …'
  if (small.read < 1 && sides.value.length > 1) return 'Reading with the compressed cache …'
  return 'Answering …'
}
