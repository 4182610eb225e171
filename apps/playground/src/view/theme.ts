import { computed, signal } from '@preact/signals'

const KEY = 'kvfold-theme'
const store = openStore()
const system = matchMedia('(prefers-color-scheme: dark)')
const isSystemDark = signal(system.matches)
const chosen = signal(store?.getItem(KEY) ?? undefined)

system.addEventListener('change', ({ matches }) => (isSystemDark.value = matches))

/** The system's, unless the user chose another. */
export const theme = computed(() => {
  const name = (chosen.value ?? (isSystemDark.value ? 'dark' : 'light')) === 'dark' ? 'dark' : 'light'
  // Here, and not in an effect: whoever asks for the theme reads colours next.
  document.documentElement.dataset['theme'] = name
  return name
})

export function toggleTheme(): void {
  chosen.value = theme.value === 'dark' ? 'light' : 'dark'
  store?.setItem(KEY, chosen.value)
}

/** Undefined where the browser keeps nothing for this page. */
function openStore(): Storage | undefined {
  try {
    return localStorage
  } catch {
    return undefined
  }
}
