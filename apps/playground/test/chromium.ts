import { existsSync } from 'node:fs'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** A browser of this machine. */
export const executablePath = PLACES.find((place) => existsSync(place))

if (!executablePath) console.log(`SKIPPED the page in a browser: there is none of ${PLACES.join(', ')}`)
