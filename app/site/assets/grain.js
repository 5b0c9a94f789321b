// The grain of transformer_net/grain.py, which says what it is for: the same hash and splines, from row and column 0.

/** @typedef {{ height: number, width: number, data: Float32Array }} Plane */

const SPLINE_VARIANCE = 151 / 315;

/**
 * Noise of mean 0, as the models expect it beside a photo.
 * @param {number} height
 * @param {number} width
 * @returns {Float32Array} (3, height, width)
 */
export function grain(height, width) {
  const fine = hash(height, width, 0);
  const middle = lattice(height, width, 4, 1 << 28);
  let coarse = lattice(height, width, 16, 2 << 28);
  for (const scale of [8, 4]) {
    coarse = coarse.map((plane) => transposed(refined(transposed(refined(plane, height, scale)), width, scale)));
  }
  const size = height * width;
  const noise = new Float32Array(3 * size);
  fine.forEach((plane, channel) => {
    const smooth = middle[channel];
    smooth.data.forEach((value, i) => (smooth.data[i] = (value + coarse[channel].data[i]) / SPLINE_VARIANCE));
    const whole = interpolated(transposed(interpolated(transposed(smooth), width)), height);
    plane.data.forEach((value, i) => (noise[channel * size + i] = value + whole.data[i]));
  });
  return noise;
}

/** How many values, `scale` px apart, `pixels` are made of: four for each. */
const count = (/** @type {number} */ pixels, /** @type {number} */ scale) => Math.floor((pixels - 1) / scale) + 4;

function lattice(/** @type {number} */ height, /** @type {number} */ width, /** @type {number} */ scale, seed = 0) {
  return hash(count(height, scale), count(width, scale), seed);
}

/** Uniform noise of mean 0 and standard deviation 1. @returns {Plane[]} of three channels */
function hash(/** @type {number} */ height, /** @type {number} */ width, /** @type {number} */ seed) {
  const planes = [0, 1, 2].map(() => ({ height, width, data: new Float32Array(height * width) }));
  const [seeded, scale] = [Math.imul(seed, 0xc2b2ae3d), Math.sqrt(12) / 1024];
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.imul(y, 0x9e3779b1);
    for (let x = 0; x < width; x++, i++) {
      let h = row ^ (Math.imul(x, 0x85ebca77) + seeded);
      h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
      h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
      h ^= h >>> 16;
      for (const plane of planes) {
        plane.data[i] = ((h & 1023) - 511.5) * scale;
        h >>>= 10;
      }
    }
  }
  return planes;
}

/** The same spline with values `scale` px apart, half as far as before, along the height, for `pixels`. */
function refined(/** @type {Plane} */ { width, data }, /** @type {number} */ pixels, /** @type {number} */ scale) {
  const height = count(pixels, scale);
  const finer = new Float32Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    const at = (y >> 1) * width;
    for (let x = at; x < at + width; x++, i++) {
      const [a, b] = [data[x], data[x + width]];
      finer[i] = y % 2 ? (a + 6 * b + data[x + 2 * width]) / 8 : (a + b) / 2;
    }
  }
  return { height, width, data: finer };
}

/** Cubic B-spline values at `height` pixels of a lattice with 4 px between its values. */
function interpolated(/** @type {Plane} */ { width, data }, /** @type {number} */ height) {
  const taps = [0, 1, 2, 3].map((phase) => {
    const t = phase / 4;
    return [(1 - t) ** 3, 3 * t ** 3 - 6 * t ** 2 + 4, -3 * t ** 3 + 3 * t ** 2 + 3 * t + 1, t ** 3].map((v) => v / 6);
  });
  const result = new Float32Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    const [a, b, c, d] = taps[y % 4];
    const start = (y >> 2) * width;
    for (let x = start; x < start + width; x++, i++) {
      result[i] = a * data[x] + b * data[x + width] + c * data[x + 2 * width] + d * data[x + 3 * width];
    }
  }
  return { height, width, data: result };
}

function transposed(/** @type {Plane} */ { height, width, data }) {
  const turned = new Float32Array(data.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) turned[x * height + y] = data[y * width + x];
  return { height: width, width: height, data: turned };
}
