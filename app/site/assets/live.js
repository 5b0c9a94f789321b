// The camera, and how large its frames may be.

const WANTED = 1000 / 15; // milliseconds between two frames
const [LEAST, MOST, STEP] = [64, 512, 16];
const SPAN = 3000; // milliseconds over which frames are counted

/**
 * The longer side of the next frame, so that it takes as long as is wanted.
 * @param {number} side of the last one
 * @param {number} milliseconds that it took
 */
export function nextSide(side, milliseconds) {
  const fitting = side * Math.sqrt(WANTED / milliseconds);
  if (Math.abs(fitting - side) < side / 8) return side; // another size costs time, too
  const bounded = Math.min(1.5 * side, Math.max(side / 2, fitting));
  return Math.min(MOST, Math.max(LEAST, STEP * Math.round(bounded / STEP)));
}

/** Counts frames. */
export class Rate {
  /** @type {number[]} */
  seen = [];

  /** Another frame hangs; gives how many there are a second, or nothing while that is not known. */
  count(now = performance.now()) {
    const recent = this.seen.filter((time) => time > now - SPAN);
    this.seen = [...(recent.length ? recent : this.seen.slice(-1)), now]; // also where one takes longer than that
    const span = now - this.seen[0];
    return span > 0 ? (1000 * (this.seen.length - 1)) / span : undefined;
  }
}

export class Camera {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.canvas = document.createElement("canvas");
  }

  /** @throws {Error} with a sentence */
  async start() {
    if (!navigator.mediaDevices) throw new Error("The camera needs this page over HTTPS.");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    } catch {
      throw new Error("The camera cannot be used: there is none, or it was not allowed.");
    }
    this.stop(); // nothing else would, once its place is taken
    this.video.srcObject = stream;
    try {
      await this.video.play();
    } catch {
      for (const track of stream.getTracks()) track.stop();
      if (this.video.srcObject === stream) this.stop();
      throw new Error("The camera's picture cannot be shown. Please try again.");
    }
  }

  /** Lets go of the device. */
  stop() {
    const stream = /** @type {MediaStream | null} */ (this.video.srcObject);
    for (const track of stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  /** What it sees now, its longer side at most `side`. */
  frame(side = Infinity) {
    return pixelsOf(this.video, this.video.videoWidth, this.video.videoHeight, side, this.canvas);
  }
}

/**
 * The pixels of what can be drawn, its longer side at most `most`.
 * @param {CanvasImageSource} source
 * @param {number} width
 * @param {number} height
 * @param {number} most
 * @param {boolean} mirrored
 */
export function pixelsOf(source, width, height, most, canvas = document.createElement("canvas"), mirrored = false) {
  const scale = Math.min(1, most / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.imageSmoothingQuality = "high";
  if (mirrored) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
