// The two parts of the comparison view, on the server's page and on the static one.
// The results are the only state: whatever hangs with a caption that says "done" can be looked at.
(() => {
  "use strict";
  const NORMS = ["bn", "in", "bn-se", "iebn"];
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const nameOf = (key) => $(`.choosers [data-norm="${key}"] span`)?.textContent ?? key;
  const clamp = (value) => Math.min(100, Math.max(0, value));

  // Addresses of the pictures that belong together: the photo as painted, and its finished paintings.
  function pictures() {
    const found = {};
    for (const key of ["photo", ...NORMS]) {
      const done = key === "photo" || $(`#caption-${key} [data-state="done"]`);
      const source = done && $(`#out-${key} img`)?.src;
      if (source) found[key] = source;
    }
    return NORMS.some((key) => found[key]) ? found : {};
  }

  function show(image, source, alt) {
    if (image.hidden !== !source) image.hidden = !source;
    if (source && image.getAttribute("src") !== source) image.src = source;
    if (image.alt !== alt) image.alt = alt;
  }

  function scrollTo(element, block) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
  }

  function text(element, value) {
    if (element.textContent !== value) element.textContent = value;
  }

  function sync() {
    const found = pictures();
    $("#tab-compare")?.toggleAttribute("data-painted", Object.keys(found).length > 0);
    if ($("#wipe")) syncWipe(found);
    for (const figure of $$("#zoom figure")) {
      const key = figure.dataset.norm;
      show($("img", figure), found[key], `Detail of the ${key === "photo" ? "photo" : nameOf(key) + " painting"}`);
    }
  }

  function syncWipe(found) {
    const wipe = $("#wipe");
    for (const [side, layer] of [
      ["left", "over"],
      ["right", "under"],
    ]) {
      const key = $(`input[name="wipe-${side}"]:checked`).value;
      const name = nameOf(key);
      show($(`img.${layer}`, wipe), found[key], key === "photo" ? "The photo" : `Painting, ${name}`);
      $(`.absent.${layer}`, wipe).hidden = Boolean(found[key]);
      text($(`.absent.${layer}`, wipe), $(`#caption-${key} p`)?.textContent ?? ""); // why there is none
      text($(`.tag.${side}`, wipe), name);
      $(`.tag.${side}`, wipe).dataset.norm = key;
    }
    const range = $("#wipe-position");
    const cut = `${range.value}%`;
    if (wipe.style.getPropertyValue("--cut") !== cut) wipe.style.setProperty("--cut", cut);
    range.setAttribute(
      "aria-valuetext",
      `${range.value} percent ${$(".tag.left", wipe).textContent}, the rest ${$(".tag.right", wipe).textContent}`,
    );
  }

  function syncZoom() {
    const zoom = $("#zoom");
    zoom.style.setProperty("--x", `${$("#zoom-x").value}%`);
    zoom.style.setProperty("--y", `${$("#zoom-y").value}%`);
    zoom.style.setProperty("--scale", $('input[name="zoom-scale"]:checked').value);
  }

  function moveZoom(x, y) {
    $("#zoom-x").value = clamp(x);
    $("#zoom-y").value = clamp(y);
    syncZoom();
  }

  // How far a detail can travel: the picture's size at this scale, less the pane's.
  function travel(pane) {
    const image = $("img", pane);
    const scale = Number($('input[name="zoom-scale"]:checked').value);
    return [image.naturalWidth * scale - pane.clientWidth, image.naturalHeight * scale - pane.clientHeight];
  }

  // A click on a painting centres the details on that place. The picture lies within its element, letterboxed.
  function zoomTo(image, event) {
    const box = image.getBoundingClientRect();
    const fit = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
    const place = (point, start, length, size) => (point - start - (length - size * fit) / 2) / (size * fit);
    const across = place(event.clientX, box.left, box.width, image.naturalWidth);
    const down = place(event.clientY, box.top, box.height, image.naturalHeight);
    const pane = $("#zoom figure:last-child .pane");
    const [x, y] = travel(pane);
    moveZoom(
      x > 0 ? (100 * (across * (x + pane.clientWidth) - pane.clientWidth / 2)) / x : 50,
      y > 0 ? (100 * (down * (y + pane.clientHeight) - pane.clientHeight / 2)) / y : 50,
    );
    scrollTo($("#zoom"), "nearest");
  }

  function dragZoom(pane, down) {
    const [x, y] = travel(pane);
    const start = [Number($("#zoom-x").value), Number($("#zoom-y").value)];
    const move = (event) =>
      moveZoom(
        x > 0 ? start[0] - (100 * (event.clientX - down.clientX)) / x : start[0],
        y > 0 ? start[1] - (100 * (event.clientY - down.clientY)) / y : start[1],
      );
    pane.setPointerCapture(down.pointerId);
    pane.addEventListener("pointermove", move);
    const end = () => pane.removeEventListener("pointermove", move);
    pane.addEventListener("pointerup", end, { once: true });
    pane.addEventListener("pointercancel", end, { once: true });
  }

  document.addEventListener("input", (event) => {
    if (event.target.closest("#compare-view section:has(#wipe)")) syncWipe(pictures());
    if (event.target.closest("#compare-view section:has(#zoom)")) syncZoom();
  });
  document.addEventListener("click", (event) => {
    const image = event.target.closest("#results img");
    if (image) zoomTo(image, event);
    else if (event.detail === 0 && event.target.closest("#results .image-container > button")) $("#zoom-x").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    const pane = event.target.closest("#zoom .pane");
    if (pane && event.button === 0) dragZoom(pane, event);
  });
  document.addEventListener(
    "load",
    (event) => {
      const image = event.target;
      if (image.matches?.("#wipe img")) {
        $("#wipe").style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
        $("#wipe").style.setProperty("--natural", `${image.naturalWidth}px`);
      }
    },
    true,
  );

  // Calls `sync` in a frame after results or captions have changed.
  function afterChanges(sync) {
    let due = false;
    const observer = new MutationObserver(() => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        sync();
      });
    });
    const start = () =>
      observer.observe(document.body, { childList: true, subtree: true, attributeFilter: ["src", "data-state"] });
    if (document.body) start();
    else document.addEventListener("DOMContentLoaded", start);
  }

  afterChanges(sync);
  window.compareView = { afterChanges, scrollTo }; // for page.js
})();
