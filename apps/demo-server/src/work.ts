import { ModelInputError, type SamplingOptions } from '@kvfold/models'
import type { Loaded, Work } from './engine.ts'
import { InvalidRequestError, NotFoundError } from './errors.ts'
import { chatTokens, defaultStops, textTokens } from './prompt.ts'
import type { ChatRequest, CompletionRequest } from './schemas.ts'

/** New tokens where the request does not say. */
const DEFAULT_TOKENS = 256

/** What a completion request asks for. Throws InvalidRequestError, NotFoundError. */
export function completionWork(request: CompletionRequest, loaded: Loaded, mostTokens: number): Work {
  const { tokenizer } = loaded
  const { prompt } = request
  return {
    ...work(request, loaded, request.max_tokens, mostTokens, []),
    prompt: (goesOn) => (typeof prompt === 'string' ? textTokens(tokenizer, prompt, goesOn) : prompt),
    trimStart: false,
  }
}

/** What a chat request asks for. Throws InvalidRequestError, NotFoundError. */
export function chatWork(request: ChatRequest, loaded: Loaded, mostTokens: number): Work {
  const { tokenizer } = loaded
  const messages = request.messages.map(({ role, content }) => ({
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : content.map(({ text }) => text).join(''),
  }))
  return {
    ...work(request, loaded, request.max_completion_tokens ?? request.max_tokens, mostTokens, defaultStops(tokenizer)),
    prompt: (goesOn) => templated(() => chatTokens(tokenizer, messages, goesOn)),
    trimStart: true,
  }
}

function work(
  request: CompletionRequest | ChatRequest,
  { name }: Loaded,
  tokens: number | null | undefined,
  mostTokens: number,
  stops: readonly string[],
): Omit<Work, 'prompt' | 'trimStart'> {
  if (request.model && request.model !== name)
    throw new NotFoundError(`There is no model "${request.model}": this server has "${name}".`, 'model_not_found')
  refuseFiles(request)
  const maxTokens = tokens ?? Math.min(DEFAULT_TOKENS, mostTokens)
  if (maxTokens > mostTokens)
    throw new InvalidRequestError(`max_tokens is ${maxTokens}, and this server makes at most ${mostTokens}: ask for fewer.`, 'max_tokens')
  const { stop } = request
  return {
    policy: request.kv_policy ?? undefined,
    session: request.session ?? undefined,
    history: request.kv_history ?? false,
    maxTokens,
    sampling: samplingOf(request),
    stops: stop === undefined || stop === null ? stops : [...stops, ...(typeof stop === 'string' ? [stop] : stop)],
  }
}

function samplingOf({ temperature, top_k: topK, top_p: topP, seed }: CompletionRequest | ChatRequest): SamplingOptions {
  return { temperature: temperature ?? 0, topK: topK ?? 0, topP: topP ?? 1, seed: seed ?? 0 }
}

/** Fields that this server does not know are passed over, but for those that would name a file. */
function refuseFiles(request: object): void {
  const field = Object.keys(request).find((name) => /file|path|folder|directory/i.test(name))
  if (field)
    throw new InvalidRequestError(
      `"${field}" names a file, and no request reads or writes files of this server: leave it out.`,
      field,
      'no_file_access',
    )
}

function templated<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (error instanceof ModelInputError) throw new InvalidRequestError(error.message, 'messages')
    throw error
  }
}
