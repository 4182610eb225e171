import { findChromium } from '../../../tooling/chromium.ts'

export const executablePath: string | undefined = findChromium('the page in a browser')
