// The Live tab: counts the frames that arrive, starts painting once there is a camera, and stops with the tab.
(() => {
  "use strict";
  const SPAN = 3000; // milliseconds over which frames are counted
  const LEAST = 800; // milliseconds that they must span: the first come in a bunch
  const button = () => document.querySelector("#camera .capture-button");
  let seen = [];

  function show() {
    seen = seen.filter((time) => time > performance.now() - SPAN);
    const span = seen[seen.length - 1] - seen[0];
    const text = span > LEAST ? `${((1000 * (seen.length - 1)) / span).toFixed(1)} frames a second` : "";
    const place = document.querySelector("#live-rate p");
    if (place && place.textContent !== text) place.textContent = text;
    // Gradio calls it "capture photo" in either state.
    const starts = button()?.querySelector('[title="start recording"]');
    button()?.setAttribute("aria-label", starts ? "Start painting" : "Stop painting");
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
      setTimeout(() => button()?.click());
    },
    true,
  );
  document.addEventListener("click", (event) => {
    const tab = event.target.closest('#tabs [role="tab"]');
    if (tab && tab.id !== "tab-live-button" && button()) document.querySelector("#camera-off").click();
  });
  setInterval(show, 500);
})();
