import { KvCache } from '@kvfold/kv-core'
import { HistoryRecorder } from '@kvfold/kv-core/history'
import type { Ask, EngineEvent } from '../engine/engine.ts'
import { registry } from '../registry.ts'
import { Answer, type AnswerStart } from './answer.ts'
import type { KeptCaches } from './kept-caches.ts'
import type { Loaded } from './loaded.ts'
import { documentTokens, questionTokens } from './prompt.ts'
import type { ReadCache, SideOptions } from './read-cache.ts'

/** Where a question is answered. */
export interface Desk {
  loaded: Loaded
  kept: KeptCaches
}

/** Answers with both caches, a token of the one and a token of the other in turns. Of a file's document there is no full cache. */
export async function answerBoth(desk: Desk, ask: Ask, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void> {
  const answers: { answer: Answer; options: SideOptions; going: boolean }[] = []
  try {
    for (const side of ['full', 'small'] as const) {
      const options = { side, onEvent, signal }
      const start = await startOf(desk, ask, options)
      if (start) answers.push({ answer: new Answer(desk.loaded, start, options), options, going: true })
    }
    while (answers.some(({ going }) => going)) {
      for (const one of answers) {
        if (!one.going) continue
        one.going = await one.answer.step()
        if (!one.going) onEvent({ type: 'done', side: one.options.side, stats: one.answer.stats, kept: one.answer.kept })
      }
    }
  } finally {
    for (const { answer } of answers) await answer.dispose()
  }
}

async function startOf({ loaded, kept }: Desk, ask: Ask, options: SideOptions): Promise<AnswerStart | undefined> {
  const asked = questionTokens(loaded.tokenizer, ask.question)
  const { source } = ask
  if (source.kind === 'file') {
    if (options.side === 'full') return undefined
    return { ...forkOf(kept.file(source.file.id)), asked, reused: true }
  }
  const policy = registry.policy(options.side === 'full' ? 'full' : ask.policy)
  if (options.side === 'small' && ask.aware) {
    const { model, kernels, tokenizer } = loaded
    const document = documentTokens(tokenizer, source.text)
    const cache = new KvCache(model.shape, { policy, kernels, model, trace: true })
    const recorder = new HistoryRecorder(cache)
    return { cache, recorder, asked: [...document, ...asked], pieces: [], documentTokens: document.length, readMs: 0, reused: false }
  }
  const read = await kept.document(source.text, policy, options)
  return { ...forkOf(read), asked, reused: read.reused }
}

/** What goes on from a document that was read, and leaves that as it is. */
function forkOf({ cache, recorder, pieces, readMs }: ReadCache): Omit<AnswerStart, 'asked' | 'reused'> {
  const fork = cache.fork()
  return { cache: fork, recorder: recorder?.fork(fork), pieces, documentTokens: pieces.length, readMs }
}
