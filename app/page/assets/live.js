// The Live tab: counts the frames that arrive, starts painting once there is a camera, and stops with the tab.
// The server paints what Gradio's camera sends, until this browser has shown that it is quick enough to paint
// itself. Then nothing is sent, and the same buttons start and stop it.
(() => {
  "use strict";
  const SPAN = 3000; // milliseconds over which frames are counted
  const LEAST = 800; // milliseconds that they must span: the first come in a bunch
  const AGREE = 3; // frames at least that tell whether it became slow: a single one may be late
  const $ = (selector) => document.querySelector(selector);
  const button = () => $("#camera .capture-button");
  const video = () => $("#camera video");
  const sends = () => button()?.querySelector('[title="stop recording"]'); // frames to the server
  // Where the server has what it takes: its address, the longer side of frames, and how many of them this browser
  // has to paint in its first second.
  const here = window.painterHere;
  let seen = [];
  let painter; // of this browser, from when it is known to be quick
  let running = false; // it paints now
  let begun = 0; // counts when it began: what was stopped may still wait for its last frame
  let tried = !here;

  async function until(holds) {
    while (!holds()) await new Promise((done) => setTimeout(done, 100));
  }

  function show() {
    seen = seen.filter((time) => time > performance.now() - SPAN);
    const span = seen[seen.length - 1] - seen[0];
    const text = span > LEAST ? `${((1000 * (seen.length - 1)) / span).toFixed(1)} frames a second` : "";
    const place = $("#live-rate p");
    if (place && place.textContent !== text) place.textContent = text;
    $("#stage")?.toggleAttribute("data-running", running);
    // Gradio calls it "capture photo" in either state.
    const starts = painter ? !running : button()?.querySelector('[title="start recording"]');
    button()?.setAttribute("aria-label", starts ? "Start painting" : "Stop painting");
  }

  /** Makes what paints pictures here: pixels in, painting and milliseconds out. */
  async function makePainter() {
    const address = new URL(here.address, location.href);
    const [{ Painter }, { pixelsOf }] = await Promise.all(
      ["painter.js", "live.js"].map((name) => import(new URL(name, address).href)),
    );
    let runs;
    const painting = new Painter((name) => (runs = name));
    const canvas = document.createElement("canvas");
    async function paint(pixels) {
      const begin = performance.now();
      const [style, chosen] = window.chosenLive;
      const norm = chosen.replace("+", "-"); // as models are named
      let picture;
      await painting.paint(pixels, style, [norm], { strength: 1, keepColour: false }, (step) => {
        picture = step.picture;
      });
      return { picture, runs, model: `${style}/${norm}`, milliseconds: performance.now() - begin };
    }
    function frame(from) {
      const mirrored = new DOMMatrix(getComputedStyle(from).transform).a < 0; // as Gradio shows and sends it
      return pixelsOf(from, from.videoWidth, from.videoHeight, here.side, canvas, mirrored);
    }
    return { paint, frame, end: () => painting.end() };
  }

  /** Loads it when the tab is first seen, tries it on empty pictures, and takes over where it is quick. */
  async function tryHere() {
    tried = true;
    let made;
    try {
      await until(() => window.chosenLive);
      made = await makePainter();
      const blank = new ImageData(here.side, Math.ceil((here.side * 3) / 4));
      await made.paint(blank); // the first one loads all that is needed
      const begin = performance.now();
      for (let n = 0; n < here.rate; n++) {
        await made.paint(blank);
        if (performance.now() > begin + 1000) throw new Error("This browser is too slow.");
      }
    } catch {
      made?.end();
      return;
    }
    await until(() => !button()?.querySelector('[title="spinner"]'));
    const takesOver = sends();
    if (takesOver) button().click();
    painter = made;
    if (takesOver) run();
  }

  /** Paints what the camera sees, here, until it is stopped, goes, or this gets too slow. */
  async function run() {
    const from = video();
    const times = [];
    let last;
    const mine = ++begun;
    const goesOn = () => running && mine === begun;
    running = true;
    show();
    while (goesOn() && from === video() && from.srcObject?.active) {
      await new Promise(requestAnimationFrame); // none while the page is not seen
      if (!goesOn()) break;
      try {
        const { picture, runs, model, milliseconds } = await painter.paint(painter.frame(from));
        if (!goesOn()) break; // there is no picture where another run stopped it
        await hang(picture, `${runs}, ${Math.round(milliseconds)} ms a frame`);
        if (!goesOn()) break;
        if (model === last) times.push(milliseconds); // the first time, it is loaded
        last = model;
        if (isSlow(times)) throw new Error("It became too slow.");
      } catch {
        if (goesOn()) leaveToServer();
      }
    }
    if (mine !== begun) return;
    running = false;
    show();
  }

  /** Half as many frames a second as it took to begin: something else may run on this machine by now. */
  function isSlow(times) {
    const recent = times.slice(-Math.max(AGREE, here.rate));
    const median = recent.sort((a, b) => a - b)[recent.length >> 1];
    return recent.length >= AGREE && median > 2000 / here.rate;
  }

  function leaveToServer() {
    painter.end();
    painter = undefined;
    running = false;
    button()?.click();
  }

  let address = "";

  /** As Gradio hangs what the server sends, so that it can be downloaded and enlarged like that. */
  async function hang(picture, said) {
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext("2d").putImageData(picture, 0, 0);
    const last = address;
    address = URL.createObjectURL(await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 }));
    const size = `${picture.width} × ${picture.height}`;
    window.paintedHere = [{ url: address }, `<p>Painted in your browser: ${size}, ${said}</p>`];
    $("#live-hang").click();
    setTimeout(() => URL.revokeObjectURL(last), 1000); // by then another one hangs
  }

  document.addEventListener(
    "load",
    (event) => {
      if (event.target.matches?.("#out-live img")) seen.push(performance.now());
    },
    true,
  );
  // The one click that lets the camera be used also starts it.
  document.addEventListener(
    "playing",
    (event) => {
      if (!event.target.matches?.("#camera video") || event.target.dataset.begun) return;
      event.target.dataset.begun = "true";
      if (!tried) tryHere(); // where the tab was not clicked, but chosen with the keyboard
      setTimeout(() => (painter ? run() : button()?.click()));
    },
    true,
  );
  document.addEventListener(
    "click",
    (event) => {
      if (!painter || !event.target.closest?.("#camera .capture-button")) return;
      event.stopImmediatePropagation();
      if (running) running = false;
      else run();
    },
    true,
  );
  document.addEventListener("click", (event) => {
    const tab = event.target.closest('#tabs [role="tab"]');
    if (!tab) return;
    if (tab.id === "tab-live-button" && !tried) tryHere();
    if (tab.id !== "tab-live-button" && button()) $("#camera-off").click();
  });
  setInterval(show, 500);
})();
