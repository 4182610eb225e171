// Keeps the page's files, so that it opens without a network. Files in `assets` have hashes in their names and never change; all else is
// asked for first, and taken from what was kept if nobody answers.
declare const self: ServiceWorkerGlobalScope
declare const __FILES__: string[]
declare const __VERSION__: string

const PAGE = `kvfold-page-${__VERSION__}`

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(PAGE).then((cache) => cache.addAll(__FILES__.map(fresh))))
  void self.skipWaiting()
})

self.addEventListener('activate', (event) => {
  event.waitUntil(removeOld().then(() => self.clients.claim()))
})

self.addEventListener('fetch', (event) => {
  const { request } = event
  const { pathname, origin } = new URL(request.url)
  const scope = new URL(self.registration.scope)
  if (request.method !== 'GET' || origin !== scope.origin || !pathname.startsWith(scope.pathname)) return
  const path = pathname.slice(scope.pathname.length)
  if (path.startsWith('assets/')) event.respondWith(keptFirst(request))
  else if (['', 'index.html', 'icon.svg'].includes(path)) event.respondWith(askedFirst(request))
})

/** What has no hash in its name may be old in the browser's own cache. */
function fresh(file: string): Request {
  return new Request(file, { cache: file.startsWith('assets/') ? 'default' : 'reload' })
}

async function keptFirst(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request)
}

async function askedFirst(request: Request): Promise<Response> {
  try {
    return await fetch(request)
  } catch (error) {
    const kept = await caches.match(request.mode === 'navigate' ? './' : request)
    if (!kept) throw error
    return kept
  }
}

async function removeOld(): Promise<void> {
  const names = await caches.keys()
  await Promise.all(names.filter((name) => name.startsWith('kvfold-page-') && name !== PAGE).map((name) => caches.delete(name)))
}
