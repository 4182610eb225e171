import { z } from 'zod'

/** Most characters of a stop text. */
const MOST_STOP = 256

const stopText = z.string().min(1).max(MOST_STOP)

/** Options of both kinds of completions. What OpenAI's interface has and this server does not do is refused unless it asks for nothing. */
const options = {
  model: z.string().nullish().describe('as `/v1/models` names it'),
  max_tokens: z.number().int().min(0).nullish().describe('most new tokens; 0 only reads the prompt'),
  temperature: z.number().min(0).max(2).nullish().describe('0, the default, is greedy'),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.number().int().min(0).nullish().describe('draw from so many tokens; 0, the default: all'),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullish().describe('of the draws, 0 by default'),
  stop: z.union([stopText, z.array(stopText).max(4)]).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  kv_policy: z.string().max(1000).nullish().describe("such as 'snapkv(budget=25%) + kivi(bits=4)'; `full` by default, or the session's"),
  kv_history: z
    .boolean()
    .nullish()
    .describe('tell with the answer what the cache held of every token all along, and with each event of a stream what it holds'),
  session: z
    .string()
    .regex(/^[\w.:-]{1,128}$/, 'give 1 to 128 letters, digits and any of _ . : -')
    .nullish()
    .describe('a conversation that the server holds: send only what is new'),
  n: z.literal(1, 'this server makes one answer per request').nullish(),
  presence_penalty: z.literal(0, 'this server has no penalties').nullish(),
  frequency_penalty: z.literal(0, 'this server has no penalties').nullish(),
  logit_bias: z.record(z.string(), z.never('this server has no logit bias')).nullish(),
}

export const completionRequest = z.looseObject({
  ...options,
  prompt: z.union([z.string().min(1), z.array(z.number().int().min(0)).min(1)]).describe('text, or token ids'),
  logprobs: z.null('this server gives no log probabilities').optional(),
  echo: z.literal(false, 'this server does not repeat the prompt').nullish(),
  suffix: z.null('this server does not fill in').optional(),
  best_of: z.literal(1, 'this server makes one answer per request').nullish(),
})

const part = z.object({ type: z.literal('text', 'this server reads text only'), text: z.string() })

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string(), z.array(part).min(1)]),
})

export const chatRequest = z.looseObject({
  ...options,
  messages: z.array(message).min(1),
  max_completion_tokens: z.number().int().min(0).nullish().describe('the same as max_tokens, and goes before it'),
  logprobs: z.literal(false, 'this server gives no log probabilities').nullish(),
  tools: z.array(z.never('this server has no tools')).nullish(),
  response_format: z.object({ type: z.literal('text', 'this server has no other formats') }).nullish(),
})

export type CompletionRequest = z.output<typeof completionRequest>
export type ChatRequest = z.output<typeof chatRequest>

const usage = z.object({
  prompt_tokens: z.number().int(),
  completion_tokens: z.number().int(),
  total_tokens: z.number().int(),
  prompt_tokens_details: z.object({ cached_tokens: z.number().int().describe('not read anew: of the session, or of a held prefix') }),
})

const kv = z.object({
  policy: z.string(),
  bytes: z.number().int().describe('that the cache holds at the end'),
  peakBytes: z.number().int().describe('the most that it, and caches that share pages with it, ever held, working memory included'),
  fullF16Bytes: z.number().int().describe('that a full cache of the same tokens takes in float16'),
  fullF32Bytes: z.number().int(),
  rows: z.number().int().describe('kept, over all layers and heads'),
  history: z
    .record(z.string(), z.unknown())
    .nullish()
    .describe(
      'with `kv_history`, as CacheHistory of @kvfold/kv-core/history reads it; null in a session that began without it or was on the disk',
    ),
  pieces: z.array(z.string()).nullish().describe('with `history`, the text of each token'),
})

const answer = { id: z.string(), created: z.number().int(), model: z.string(), usage, kv }
const finish = z.enum(['stop', 'length'])

export const completionResponse = z.object({
  ...answer,
  object: z.literal('text_completion'),
  choices: z.array(z.object({ index: z.literal(0), text: z.string(), logprobs: z.null(), finish_reason: finish })),
})

export const chatResponse = z.object({
  ...answer,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.object({
      index: z.literal(0),
      message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
      logprobs: z.null(),
      finish_reason: finish,
    }),
  ),
})

export const errorResponse = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string() }),
})

export const modelList = z.object({
  object: z.literal('list'),
  data: z.array(z.object({ id: z.string(), object: z.literal('model'), created: z.number().int(), owned_by: z.string() })),
})

export const health = z.object({ status: z.enum(['ok', 'stopping']), running: z.number().int().describe('requests at work') })

export const methodList = z.array(
  z.object({
    name: z.string(),
    package: z.string(),
    axes: z.array(z.string()),
    summary: z.string(),
    paper: z.unknown(),
    params: z.array(z.unknown()),
  }),
)
