// Paints, beside the page's own thread. One request at a time; a new one replaces what is not begun of the last.
// What is warmed waits its turn, too: with WebGPU, the runtime refuses a second model while it takes one in.
import { grain } from "./grain.js";
import { apply, flatten } from "./options.js";

/** @typedef {import("onnxruntime-web")} Runtime */
/** @typedef {import("onnxruntime-web").InferenceSession} Session */
/**
 * @typedef {object} Request
 * @property {number} id
 * @property {string} style
 * @property {string[]} norms as in the names of the models
 * @property {ArrayBuffer} pixels RGBA
 * @property {number} width
 * @property {number} height
 * @property {import("./options.js").Options} options
 */

const KEPT = 8; // models in memory: two styles
const MOST_THREADS = 8;

/** A model that is not there; another one may be, and this one later. Other errors end the worker. */
class NotLoadedError extends Error {}

const NO_RUNTIME = "The painting program cannot be loaded. Are you online?";

const ignore = () => undefined;

/** @type {Map<string, Promise<Session>>} */
const sessions = new Map();
/** @type {{ key: string, noise: Float32Array } | undefined} */
let cached;
let latest = 0;
let queue = Promise.resolve();

const forced = new URL(self.location.href).searchParams.get("backend");
/** @type {Promise<{ ort: Runtime, provider: "webgpu" | "wasm" }>} */
let runtime = start();

async function start() {
  return load((forced ?? ((await hasGpu()) ? "webgpu" : "wasm")) === "webgpu" ? "webgpu" : "wasm");
}

/** A graphics card, and a browser in which WebAssembly can wait for it. */
async function hasGpu() {
  if (!("gpu" in navigator) || !("Suspending" in WebAssembly)) return false;
  const adapter = await /** @type {any} */ (navigator).gpu.requestAdapter();
  return Boolean(adapter && !adapter.info?.isFallbackAdapter);
}

async function load(/** @type {"webgpu" | "wasm"} */ provider) {
  /** @type {Runtime} */
  const ort = await import(`./vendor/ort.${provider === "webgpu" ? "jspi" : "wasm"}.min.mjs`).catch(() => {
    throw new Error(NO_RUNTIME);
  });
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = new URL("vendor/", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  const threads = ort.env.wasm.numThreads;
  const name = provider === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
  self.postMessage({ runs: name });
  return { ort, provider };
}

/** @returns {Promise<Session>} */
function session(/** @type {string} */ style, /** @type {string} */ norm) {
  const key = `${style}/${norm}`;
  const found = sessions.get(key) ?? open(key);
  sessions.delete(key);
  sessions.set(key, found); // as the last one used
  found.catch(() => sessions.delete(key));
  for (const [oldest, model] of sessions) {
    if (sessions.size <= KEPT) break;
    sessions.delete(oldest);
    release(model);
  }
  return found;
}

function release(/** @type {Promise<Session>} */ model) {
  model.then((one) => one.release()).catch(ignore);
}

async function open(/** @type {string} */ key) {
  const answer = await fetch(new URL(`models/${key}.onnx`, import.meta.url)).catch(() => undefined);
  if (!answer?.ok) throw new NotLoadedError("This style cannot be loaded. Are you online?");
  const model = new Uint8Array(await answer.arrayBuffer());
  const { ort, provider } = await runtime;
  return ort.InferenceSession.create(model, { executionProviders: [provider] }).catch((error) => {
    // It loads the rest of itself, with the first model, and says so where it could not.
    throw String(error).includes("no available backend") ? new Error(NO_RUNTIME) : error;
  });
}

async function paint(/** @type {Request} */ { id, style, norms, pixels, width, height, options }) {
  const { ort } = await runtime;
  const photo = new Uint8Array(pixels).slice(); // it is painted once more where the graphics card fails
  flatten(photo);
  const key = `${width} ${height}`;
  if (cached?.key !== key) cached = { key, noise: grain(height, width) };
  const inputs = {
    photo: new ort.Tensor("uint8", photo, [height, width, 4]),
    grain: new ort.Tensor("float32", cached.noise, [3, height, width]),
  };
  for (const norm of norms) {
    if (id !== latest) return;
    self.postMessage({ id, norm, state: "painting" });
    const model = await session(style, norm);
    const begin = performance.now();
    const { painting } = await model.run(inputs);
    const painted = Uint8Array.from(/** @type {Uint8Array} */ (painting.data));
    const seconds = (performance.now() - begin) / 1000;
    painting.dispose();
    apply(photo, painted, options);
    self.postMessage({ id, norm, state: "done", seconds, pixels: painted.buffer }, { transfer: [painted.buffer] });
  }
}

/** Without the graphics card, should it fail; a painting that fails again is told. */
async function withoutGpu(/** @type {unknown} */ error) {
  const { provider } = await runtime.catch(() => ({ provider: "wasm" }));
  if (provider === "wasm" || forced || error instanceof NotLoadedError) throw error;
  for (const model of sessions.values()) release(model);
  sessions.clear();
  runtime = load("wasm");
}

/** The page then ends this worker, which also frees its memory, unless only a model was not there. */
function tell(/** @type {number} */ id, /** @type {unknown} */ error) {
  const fatal = !(error instanceof NotLoadedError);
  self.postMessage({ id, state: "end", error: error instanceof Error ? error.message : String(error), fatal });
}

self.onmessage = ({ data }) => {
  latest = data.id;
  if (data.warm) {
    const { style, norm } = data.warm;
    queue = queue
      .then(() => session(style, norm))
      .then(ignore, withoutGpu)
      .catch((error) => tell(data.id, error));
    return;
  }
  if (!data.norms) return; // stop
  queue = queue
    .then(() => paint(data).catch((error) => withoutGpu(error).then(() => paint(data))))
    .then(() => self.postMessage({ id: data.id, state: "end" }))
    .catch((error) => tell(data.id, error));
};
