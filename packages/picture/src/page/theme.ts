import { dark, light, type Palette } from '../palette.ts'

/** Whether an element is shown on dark ground, by its `color-scheme`. */
function isDark(root: Element): boolean {
  const scheme = getComputedStyle(root).colorScheme
  if (scheme.includes('dark') && scheme.includes('light')) return matchMedia('(prefers-color-scheme: dark)').matches
  return scheme.includes('dark')
}

export function paletteOf(root: Element): Palette {
  return isDark(root) ? dark : light
}

/** Calls back whenever the system or the page may have turned from light to dark. Returns what ends that. */
export function watchTheme(changed: () => void): () => void {
  const query = matchMedia('(prefers-color-scheme: dark)')
  const observer = new MutationObserver(changed)
  query.addEventListener('change', changed)
  observer.observe(document.documentElement, { attributes: true })
  return () => {
    query.removeEventListener('change', changed)
    observer.disconnect()
  }
}
