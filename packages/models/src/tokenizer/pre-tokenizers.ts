/** How text is cut into words before byte-pair merging, by the name that GGUF files give (`tokenizer.ggml.pre`). */
export interface PreTokenizer {
  /** Applied in turn, each to the pieces that the former left. */
  patterns: readonly string[]
  /** A word that is a token as a whole is not merged up from bytes. */
  ignoreMerges?: boolean
  /** Unicode normal form C first. */
  normalize?: boolean
}

const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const CONTRACTIONS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)`
const TAIL = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const digits = (count: string): string => String.raw`${CONTRACTIONS}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}${count}|${TAIL}`
const UPPER = String.raw`\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}`,
  LOWER = String.raw`\p{Ll}\p{Lm}\p{Lo}\p{M}`
const TEKKEN =
  String.raw`[^\r\n\p{L}\p{N}]?[${UPPER}]*[${LOWER}]+|[^\r\n\p{L}\p{N}]?[${UPPER}]+[${LOWER}]*|\p{N}|` +
  String.raw` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

const gpt2: PreTokenizer = { patterns: [GPT2] }
const single: PreTokenizer = { patterns: [String.raw`\p{N}`, GPT2] }
const llama3: PreTokenizer = { patterns: [digits('{1,3}')], ignoreMerges: true }
const qwen2: PreTokenizer = { patterns: [digits('')], normalize: true }

export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  default: { patterns: [String.raw`[\p{P}\$\+<=>\^~\|]+`, GPT2, String.raw`\p{N}+`, '[0-9][0-9][0-9]'] },
  'gpt-2': gpt2,
  'phi-2': gpt2,
  mpt: gpt2,
  olmo: gpt2,
  smollm: single,
  starcoder: single,
  refact: single,
  'command-r': single,
  codeshell: single,
  exaone: single,
  'llama-bpe': llama3,
  llama3: llama3,
  'llama-v3': llama3,
  qwen2,
  'deepseek-r1-qwen': qwen2,
  stablelm2: { patterns: qwen2.patterns },
  tekken: { patterns: [TEKKEN], ignoreMerges: true },
}
