import { existsSync } from 'node:fs'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** A browser of this machine for tests, which skip without one and say so: `what` is skipped. */
export function findChromium(what: string): string | undefined {
  const found = PLACES.find((place) => existsSync(place))
  if (!found) console.log(`SKIPPED ${what}: there is none of ${PLACES.join(', ')}`)
  return found
}
