import { parsePolicyText, type Axis, type PresetText } from '@kvfold/kv-core'
import { computed, signal } from '@preact/signals'
import { registry } from '../registry.ts'
import { AXIS_NAMES } from './axes.ts'
import { holderOf, policyText } from './preset-text.ts'
import { unavailable } from './unavailable.ts'

/** The policy that the user wrote. */
export const text = signal('keydiff(budget=25%) + kivi(bits=4, residual=32)')
/** The policy of the file that is open: its cache was made under it. */
export const filePolicy = signal<string | undefined>(undefined)
/** The policy that counts now: all else follows from it. */
export const shownText = computed(() => filePolicy.value ?? text.value)

let readable: readonly PresetText[] = []

/** What the text says, as far as it can be read; of an unreadable one what was there before. */
export const presets = computed<readonly PresetText[]>(() => {
  try {
    readable = parsePolicyText(shownText.value).filter(({ method }) => registry.list().some((known) => known.method.name === method))
  } catch {
    // The problem is shown beside the text.
  }
  return readable
})

/** Why the policy cannot run, as a sentence. */
export const problem = computed<string | undefined>(() => {
  try {
    registry.policy(shownText.value)
  } catch (error) {
    return (error as Error).message
  }
  return presets.value.map(({ method }) => unavailable(method)).find((reason) => reason !== undefined)
})

/** The axes, and the methods, that the problem is about. */
export const disputed = computed<ReadonlySet<string>>(() => {
  const message = problem.value ?? ''
  const names: string[] = presets.value.map(({ method }) => method).filter((name) => message.includes(name))
  return new Set([...names, ...AXIS_NAMES.filter((axis) => message.includes(`"${axis}"`))])
})

/** Which preset decides each axis. */
export const holders = computed<ReadonlyMap<Axis, PresetText | undefined>>(
  () => new Map(AXIS_NAMES.map((axis) => [axis, holderOf(presets.value, axis)])),
)

export function write(presets: readonly PresetText[]): void {
  text.value = policyText(presets)
}
