import { registry } from '../registry.ts'

const reasons = new Map<string, string | undefined>()

/** Why a method cannot run in a page, if it cannot: it keeps pages on a tier that does not open here. */
export function unavailable(method: string): string | undefined {
  if (!reasons.has(method)) reasons.set(method, reason(method))
  return reasons.get(method)
}

function reason(method: string): string | undefined {
  if (!registry.get(method).axes.includes('place')) return undefined
  try {
    void registry.get(method)({}).place?.open().close()
  } catch (error) {
    return (error as Error).message
  }
  return undefined
}
