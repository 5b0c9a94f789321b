// Keeps what was loaded, so that the page works without a connection, and isolates it, so that it may use threads.
const VERSION = `${registration.scope} $version`;
const SHELL = $shell;
const FILES = new Set($files.map((name) => new URL(name, registration.scope).href));
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy": "$policy", // workers do not inherit the one that the page has in its markup
};

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(VERSION).then((cache) => cache.addAll(SHELL.map((name) => new Request(name, { cache: "no-cache" })))),
  );
});

self.addEventListener("activate", (event) => {
  const old = async () => {
    const mine = `${registration.scope} `; // other pages of this host have caches, too
    for (const name of await caches.keys()) if (name.startsWith(mine) && name !== VERSION) await caches.delete(name);
    await clients.claim();
  };
  event.waitUntil(old());
});

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url); // at the root of a host, other pages lie below this one
  if (method === "GET" && FILES.has(origin + pathname)) event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(VERSION);
  let found = await cache.match(request, { ignoreSearch: true });
  if (!found) {
    found = await fetch(request, { cache: "no-cache" }); // not one of an older version
    if (found.type === "opaqueredirect") return found; // which the browser follows; it cannot be copied
    // There may be no room for it. Then it is loaded each time.
    if (found.status === 200) await cache.put(request, found.clone()).catch(() => undefined);
  }
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
