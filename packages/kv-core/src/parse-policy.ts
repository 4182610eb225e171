import { PolicySyntaxError } from './errors.ts'

/** One preset of a policy text, before its method is looked up. */
export interface PresetText {
  method: string
  params: Record<string, string | number | boolean>
}

/**
 * Reads `snapkv(budget=512, window=16) + kivi(bits=2)`. Values are numbers, true and false, "quoted text" or bare words (25%, 8MiB, max).
 * `full` (or nothing) is the empty policy. Throws PolicySyntaxError that points at the place.
 */
export function parsePolicyText(text: string): PresetText[] {
  const reader = new Reader(text)
  const presets: PresetText[] = []
  if (reader.atEnd()) return presets
  do presets.push(reader.preset())
  while (reader.take('+'))
  reader.end()
  return presets.length === 1 && presets[0].method === 'full' ? [] : presets.filter((preset) => preset.method !== 'full')
}

class Reader {
  private at = 0
  private readonly text: string

  constructor(text: string) {
    this.text = text
    this.space()
  }

  preset(): PresetText {
    const method = this.match(/[A-Za-z][\w-]*/y, 'a method name')
    const params: PresetText['params'] = {}
    if (this.take('(')) {
      while (!this.take(')')) {
        const key = this.match(/[A-Za-z]\w*/y, 'a parameter name')
        this.expect('=')
        if (key in params) this.fail(`${method}: parameter "${key}" is given twice`)
        params[key] = this.value()
        if (this.take(')')) break
        this.expect(',')
      }
    }
    return { method: method.toLowerCase(), params }
  }

  private value(): string | number | boolean {
    if (this.text[this.at] === '"' || this.text[this.at] === "'") return this.match(/"[^"]*"|'[^']*'/y, 'a closing quote').slice(1, -1)
    const word = this.match(/[^\s,()+"']+/y, 'a value')
    if (word === 'true' || word === 'false') return word === 'true'
    return word !== '' && Number.isFinite(Number(word)) ? Number(word) : word
  }

  take(symbol: string): boolean {
    if (this.text[this.at] !== symbol) return false
    this.at++
    this.space()
    return true
  }

  atEnd(): boolean {
    return this.at === this.text.length
  }

  end(): void {
    if (!this.atEnd()) this.fail('expected "+" or the end')
  }

  private expect(symbol: string): void {
    if (!this.take(symbol)) this.fail(`expected "${symbol}"`)
  }

  private match(pattern: RegExp, what: string): string {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found === undefined) return this.fail(`expected ${what}`)
    this.at += found.length
    this.space()
    return found
  }

  private space(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++
  }

  private fail(what: string): never {
    const rest = this.text.slice(this.at, this.at + 12)
    throw new PolicySyntaxError(
      `Policy "${this.text}": ${what} ${rest ? `at "${rest}"` : 'at the end'}. Write it like snapkv(budget=512) + kivi(bits=4).`,
    )
  }
}
