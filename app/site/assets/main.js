// The page: a photo or the camera, a style, four paintings. Nothing leaves this machine.
import { Camera, Rate, nextSide, pixelsOf } from "./live.js";
import { Painter } from "./painter.js";

const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));
const input = (/** @type {string} */ selector) => /** @type {HTMLInputElement} */ ($(selector));

/** @type {{ minSide: number, norms: string[], captions: Record<string, Record<string, string>>, parameters: Record<string, number> }} */
const gallery = JSON.parse($("#gallery").textContent ?? "");
const video = /** @type {HTMLVideoElement} */ ($("#camera"));
const camera = new Camera(video);

/** @type {{ bitmap: ImageBitmap, name: string } | undefined} */
let photo;
let choice = 0; // counts them: what was slow to load is not shown in place of a later one
let live = false;

await isolated();
const painter = new Painter((name) => ($("#runs").textContent = name));
painter.warm(style(), gallery.norms[0]);

for (const button of document.querySelectorAll("button")) button.disabled = false;
input("#file").addEventListener("change", () => {
  choose(input("#file").files?.[0]);
  input("#file").value = ""; // so that the same one can be chosen again
});
$("#photo").addEventListener("dragover", (event) => event.preventDefault());
$("#photo").addEventListener("drop", (event) => {
  event.preventDefault();
  choose(event.dataTransfer?.files[0]);
});
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file && document.body.dataset.mode === "compare") choose(file);
});
for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("#examples button"))) {
  button.addEventListener("click", () => example(button.value));
}
$("#take").addEventListener("click", take);
$("#paint").addEventListener("click", paint);
$("#stop").addEventListener("click", () => {
  painter.stop();
  say("Stopped.");
});
$("#begin").addEventListener("click", () => (live ? end() : begin()));
for (const tab of document.querySelectorAll('[role="tab"]')) tab.addEventListener("click", () => show(tab.id));
$('[role="tablist"]').addEventListener("keydown", ({ key }) => {
  if (!key.startsWith("Arrow")) return;
  const other = document.body.dataset.mode === "live" ? "compare" : "live";
  show(other);
  $(`#${other}`).focus();
});
for (const norm of document.querySelectorAll('input[name="norms"]')) norm.addEventListener("change", showCards);
input("#strength").addEventListener("input", () => {
  $("#strength-value").textContent = `${input("#strength").value} %`;
});

/** Threads need a page that is isolated: where the server does not say so, the service worker does. */
async function isolated() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js");
  } catch {
    return; // then it is a page for whom there is a connection
  }
  if (!navigator.serviceWorker.controller) {
    const controlled = new Promise((done) => navigator.serviceWorker.addEventListener("controllerchange", done));
    await Promise.race([controlled, new Promise((done) => setTimeout(done, 5000))]);
  }
  if (crossOriginIsolated || !navigator.serviceWorker.controller || sessionStorage.getItem("reloaded")) return;
  sessionStorage.setItem("reloaded", "once");
  location.reload();
  await new Promise(() => undefined);
}

function style() {
  return input('input[name="style"]:checked').value;
}

/** The normalizers that the camera is painted with; in Live, the others have no card. */
function wanted() {
  const chosen = input('input[name="norms"]:checked').value;
  return chosen === "all" ? gallery.norms : [chosen];
}

function showCards() {
  const shown = document.body.dataset.mode === "live" ? wanted() : gallery.norms;
  for (const norm of gallery.norms) $(`#card-${norm}`).hidden = !shown.includes(norm);
}

function options() {
  return { strength: Number(input("#strength").value) / 100, keepColour: input("#keep-colour").checked };
}

function say(/** @type {string} */ sentence) {
  $("#status p").textContent = sentence;
}

function show(/** @type {string} */ mode) {
  if (live) end();
  closeCamera();
  painter.stop();
  document.body.dataset.mode = mode;
  for (const tab of document.querySelectorAll('[role="tab"]')) {
    tab.setAttribute("aria-selected", String(tab.id === mode));
    tab.setAttribute("tabindex", tab.id === mode ? "0" : "-1");
  }
  $("#tab-compare").setAttribute("aria-labelledby", mode);
  showCards();
  say(mode === "live" ? "Your camera's pictures stay on this machine." : "");
}

async function choose(/** @type {Blob | undefined} */ file, mine = file ? ++choice : choice) {
  if (!file) return;
  const bitmap = await createImageBitmap(file).catch(() => undefined);
  if (mine !== choice) return bitmap?.close();
  if (!bitmap) return say("This file is no picture that your browser can read.");
  if (Math.min(bitmap.width, bitmap.height) < gallery.minSide) {
    bitmap.close();
    return say(`The picture is too small: each side needs at least ${gallery.minSide} pixels.`);
  }
  use(bitmap, "name" in file ? String(file.name) : "photo");
}

async function example(/** @type {string} */ address) {
  const mine = ++choice;
  const answer = await fetch(address).catch(() => undefined);
  const data = answer?.ok ? await answer.blob().catch(() => undefined) : undefined;
  if (mine !== choice) return;
  if (!data) return say("This photo cannot be loaded. Are you online?");
  await choose(new File([data], /** @type {string} */ (address.split("/").pop())), mine);
}

/** The first press opens the camera, the second takes the photo. */
async function take() {
  const mine = ++choice;
  if (video.srcObject) {
    const taken = camera.frame();
    closeCamera();
    const bitmap = await createImageBitmap(taken);
    if (mine !== choice) return bitmap.close();
    return use(bitmap, "camera");
  }
  if (await openCamera("compare")) $("#take").textContent = "Take the photo";
}

/** Gives whether the camera is there and still wanted. The visitor is asked for one thing at a time. */
async function openCamera(/** @type {string} */ mode) {
  const buttons = ["#take", "#begin"].map((name) => /** @type {HTMLButtonElement} */ ($(name)));
  for (const button of buttons) button.disabled = true;
  try {
    await camera.start();
  } catch (error) {
    say(/** @type {Error} */ (error).message);
    return false;
  } finally {
    for (const button of buttons) button.disabled = false;
  }
  const isWanted = document.body.dataset.mode === mode;
  if (isWanted) document.body.dataset.camera = "on";
  else closeCamera();
  return isWanted;
}

function closeCamera() {
  camera.stop();
  delete document.body.dataset.camera;
  $("#take").textContent = "Use the camera";
}

function use(/** @type {ImageBitmap} */ bitmap, /** @type {string} */ name) {
  const isSeen = document.body.dataset.mode === "compare"; // else it is late, and Live has the camera
  if (isSeen) closeCamera();
  const stem = name
    .replace(/\.[^.]*$/, "")
    .replace(/[^\p{L}\p{N}_-]+/gu, "-")
    .slice(0, 60);
  photo?.bitmap.close();
  photo = { bitmap, name: stem || "photo" };
  const preview = /** @type {HTMLCanvasElement} */ ($("#preview"));
  pixelsOf(bitmap, bitmap.width, bitmap.height, 640, preview);
  preview.hidden = false;
  if (isSeen) say("");
}

async function paint() {
  if (!photo) return say("Choose a photo first.");
  const { bitmap, name } = photo;
  const chosen = style();
  const side = Number(input('input[name="side"]:checked').value);
  const pixels = pixelsOf(bitmap, bitmap.width, bitmap.height, side);
  if (Math.min(pixels.width, pixels.height) < gallery.minSide) return say("The photo is too narrow for this side.");
  for (const norm of gallery.norms) caption(norm, gallery.captions[norm].waiting);
  document.body.dataset.busy = "";
  /** @type {HTMLButtonElement} */ ($("#paint")).disabled = true;
  say("Painting …");
  const { scrollTo } = /** @type {any} */ (window).compareView;
  if ($("#wall").getBoundingClientRect().top > innerHeight * 0.6) scrollTo($("#wall"), "start");
  const hung = [hang("photo", pixels, `${name}.png`)];
  try {
    const complete = await painter.paint(pixels, chosen, gallery.norms, options(), (step) => {
      if (step.state === "painting") return caption(step.norm, gallery.captions[step.norm].painting);
      hung.push(hang(step.norm, step.picture, `${name}-${chosen}-${step.norm}.png`, step.seconds));
    });
    await Promise.all(hung);
    if (complete)
      say(`Painted at ${pixels.width} × ${pixels.height}. Click a painting to see that place enlarged below.`);
  } catch (error) {
    say(/** @type {Error} */ (error).message);
  }
  for (const norm of gallery.norms) {
    const state = $(`#caption-${norm} [data-state]`).dataset.state;
    if (state === "waiting" || state === "painting") caption(norm, gallery.captions[norm].stopped);
  }
  delete document.body.dataset.busy;
  /** @type {HTMLButtonElement} */ ($("#paint")).disabled = false;
}

function caption(/** @type {string} */ norm, /** @type {string} */ markup) {
  $(`#caption-${norm}`).innerHTML = markup;
}

function done(/** @type {string} */ norm, /** @type {number} */ seconds) {
  const parameters = gallery.parameters[norm].toLocaleString("en");
  caption(norm, gallery.captions[norm].waiting);
  const shown = $(`#caption-${norm} [data-state]`);
  shown.dataset.state = "done";
  /** @type {HTMLElement} */ (shown.querySelector("p")).textContent =
    `${seconds.toFixed(2)} s · ${parameters} parameters`;
}

/** Hangs a picture, and lets it be downloaded. */
async function hang(
  /** @type {string} */ key,
  /** @type {ImageData} */ picture,
  /** @type {string} */ name,
  seconds = 0,
) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d")?.putImageData(picture, 0, 0);
  const address = URL.createObjectURL(await canvas.convertToBlob());
  const image = /** @type {HTMLImageElement} */ ($(`#out-${key} img`));
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = address;
  image.hidden = false;
  if (key === "photo") return;
  const link = /** @type {HTMLAnchorElement} */ ($(`#out-${key} a`));
  Object.assign(link, { href: address, download: name, hidden: false });
  done(key, seconds);
}

async function begin() {
  if (!(await openCamera("live"))) return;
  live = true;
  $("#begin").textContent = "Turn the camera off";
  say("");
  const stream = /** @type {MediaStream} */ (video.srcObject);
  const isMine = () => video.srcObject === stream; // not after it ended, nor when it began anew
  const rate = new Rate();
  let side = 128;
  while (isMine() && stream.active) {
    await new Promise(requestAnimationFrame); // none while the page is not seen
    if (!isMine()) return;
    const norms = wanted();
    const start = performance.now();
    const frame = camera.frame(side);
    try {
      const complete = await painter.paint(frame, style(), norms, options(), (step) => {
        if (step.state !== "done") return;
        const canvas = /** @type {HTMLCanvasElement} */ ($(`#out-${step.norm} canvas`));
        [canvas.width, canvas.height, canvas.hidden] = [frame.width, frame.height, false];
        canvas.getContext("2d")?.putImageData(step.picture, 0, 0);
      });
      if (!complete) continue;
    } catch (error) {
      if (!isMine()) return;
      end();
      return say(/** @type {Error} */ (error).message);
    }
    const frames = rate.count();
    const size = `${frame.width} × ${frame.height}`; // not in #status, which is read out
    $("#rate").textContent = frames === undefined ? size : `${frames.toFixed(1)} frames a second, ${size}`;
    side = nextSide(side, performance.now() - start);
  }
  if (!isMine()) return;
  end();
  say("The camera was unplugged, or is no longer allowed.");
}

function end() {
  live = false;
  painter.stop();
  closeCamera();
  $("#begin").textContent = "Turn the camera on";
  $("#rate").textContent = "";
  for (const norm of gallery.norms) $(`#out-${norm} canvas`).hidden = true;
}
