// The page's end of the worker.

/** @typedef {{ norm: string, state: "painting" } | { norm: string, state: "done", seconds: number, picture: ImageData }} Step */

export class Painter {
  /** @param {(name: string) => void} onRuns told what computes, whenever that changes */
  constructor(onRuns) {
    const backend = new URLSearchParams(location.search).get("backend");
    this.address = new URL("worker.js", import.meta.url);
    if (backend) this.address.searchParams.set("backend", backend);
    this.onRuns = onRuns;
    this.latest = 0;
    /** @type {(message: any) => void} */
    this.listener = () => undefined;
    /** @type {Worker | undefined} */
    this.worker = undefined;
  }

  /** The worker; another one where the last one broke: it remembers what it could not load. */
  running() {
    if (this.worker) return this.worker;
    const worker = (this.worker = new Worker(this.address, { type: "module" }));
    const broke = (/** @type {string} */ error) => {
      if (worker !== this.worker) return;
      this.end();
      this.listener({ state: "end", error });
    };
    worker.addEventListener("message", ({ data }) => {
      if (data.fatal) broke(data.error);
      else if (data.runs) this.onRuns(data.runs);
      else if (data.id === this.latest) this.listener(data);
    });
    worker.addEventListener("error", () => broke("The painting program cannot be loaded. Are you online?"));
    return worker;
  }

  /** Loads a model and what computes it, so that both are there when they are needed. */
  warm(/** @type {string} */ style, /** @type {string} */ norm) {
    this.running().postMessage({ id: ++this.latest, warm: { style, norm } });
  }

  /**
   * Paints a photo with some normalizers, one after the other; what was being painted is stopped.
   * @param {ImageData} photo
   * @param {string} style
   * @param {string[]} norms
   * @param {import("./options.js").Options} options
   * @param {(step: Step) => void} onStep
   * @returns {Promise<boolean>} whether all were painted; rejected with a sentence
   */
  paint(photo, style, norms, options, onStep) {
    this.stop();
    const { width, height } = photo;
    const pixels = photo.data.slice().buffer; // the caller's stays
    this.running().postMessage({ id: this.latest, style, norms, width, height, pixels, options }, [pixels]);
    return new Promise((resolve, reject) => {
      this.listener = (data) => {
        if (data.state === "end") {
          this.listener = () => undefined;
          if (data.error) reject(new Error(data.error));
          else resolve(!data.stopped);
          return;
        }
        const { norm, state, seconds } = data;
        const picture = data.pixels && new ImageData(new Uint8ClampedArray(data.pixels), width, height);
        onStep({ norm, state, seconds, picture });
      };
    });
  }

  /** Lets go of what is being painted. */
  stop() {
    this.listener({ state: "end", stopped: true });
    this.worker?.postMessage({ id: ++this.latest });
  }

  /** Ends the worker; the next painting has a new one. */
  end() {
    this.worker?.terminate();
    this.worker = undefined;
  }
}
