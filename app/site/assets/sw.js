// Keeps what was loaded, so that the page works without a connection, and isolates it, so that it may use threads.
const VERSION = `${registration.scope} $version`;
const SHELL = $shell;
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

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
  if (method === "GET" && url.startsWith(registration.scope)) event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(VERSION);
  let found = await cache.match(request, { ignoreSearch: true });
  if (!found) {
    found = await fetch(request, { cache: "no-cache" }); // not one of an older version
    if (found.status === 200) await cache.put(request, found.clone());
  }
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
