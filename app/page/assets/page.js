// Looks after what needs no server, and Gradio has no option for.
(() => {
  "use strict";
  const NORMS = ["bn", "in", "bn-se", "iebn"];
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const { afterChanges, scrollTo } = window.compareView; // that script comes before this one

  function text(element, value) {
    if (element.textContent !== value) element.textContent = value;
  }

  function sync() {
    const busy = NORMS.some((key) => $(`#caption-${key} :is([data-state="painting"], [data-state="waiting"])`));
    const tab = $("#tab-compare");
    const begins = busy && tab && !tab.hasAttribute("data-busy");
    if (begins && $("#wall").getBoundingClientRect().top > innerHeight * 0.6) scrollTo($("#wall"), "start");
    tab?.toggleAttribute("data-busy", busy);
    for (const status of $$(":is(#status, #estimate):not([aria-live])")) status.setAttribute("aria-live", "polite");
    tellTraining();
    for (const empty of $$(".empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
    for (const input of $$('input[type="file"][accept="image/*"]')) {
      input.accept = ["image/*", ...window.pictureSuffixes].join(); // which a file dialog may not know as pictures
    }
    for (const example of $$('#examples img[alt=""]')) {
      example.alt = `Example photo: ${example.src.split("/").pop().split(".")[0]}`;
    }
  }

  // A training is told to screen readers when its state changes, not at each of its steps.
  function tellTraining() {
    const run = $(".training-run");
    tell($("#training-run-state"), run, run && $("h2", run) ? run.innerText : "");
    tell($("#improve-state"), $(".improving"), $(".improving")?.innerText);
  }

  function tell(teller, run, words) {
    const state = run && JSON.stringify({ ...run.dataset });
    if (!teller || !run || teller.dataset.state === state) return;
    teller.dataset.state = state;
    text(teller, words);
  }

  // Browsers do not know the type of every picture (HEIC, say), and Gradio refuses what has none: name it by its suffix.
  const isPicture = (file) => window.pictureSuffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix));
  const isUnknown = (file) => !file.type.startsWith("image/") && isPicture(file);

  function named(files) {
    const transfer = new DataTransfer();
    for (const file of files) {
      transfer.items.add(isUnknown(file) ? new File([file], file.name, { type: "image/x-unknown" }) : file);
    }
    return transfer;
  }

  document.addEventListener(
    "change",
    (event) => {
      const input = event.target;
      if (input.matches?.('input[type="file"][accept^="image/"]') && [...input.files].some(isUnknown)) {
        input.files = named(input.files).files;
      }
    },
    true,
  );
  document.addEventListener(
    "drop",
    (event) => {
      if (![...event.dataTransfer.files].some(isUnknown)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const dataTransfer = named(event.dataTransfer.files);
      event.target.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
    },
    true,
  );

  afterChanges(sync);
})();
