// What a visitor can choose, as transformer_net/inference/options/style_options.py does it. All pixels are RGBA.

/** @typedef {{ strength: number, keepColour: boolean }} Options */

/**
 * Lays a photo over white, in place; its opacity stays beside it.
 * @param {Uint8Array} photo
 */
export function flatten(photo) {
  for (let i = 0; i < photo.length; i += 4) {
    const opacity = photo[i + 3] / 255;
    if (opacity < 1) for (let c = i; c < i + 3; c++) photo[c] = Math.round(255 + (photo[c] - 255) * opacity);
  }
}

/**
 * Makes of a painting what is wanted, in place.
 * @param {Uint8Array} photo
 * @param {Uint8Array} painting
 * @param {Options} options
 */
export function apply(photo, painting, { strength, keepColour }) {
  for (let i = 0; i < photo.length; i += 4) {
    if (keepColour) recolour(photo, painting, i);
    if (strength === 1) continue;
    for (let c = i; c < i + 3; c++) painting[c] = Math.trunc(photo[c] + strength * (painting[c] - photo[c]));
  }
}

// Oklab and the way back, as in transformer_net/imaging/colour_space.py; arrays are made once, not for each pixel.
const TO_LMS = [
  0.4122214708, 0.5363325363, 0.0514459929, 0.2119034982, 0.6806995451, 0.1073969566, 0.0883024619, 0.2817188376,
  0.6299787005,
];
const TO_LAB = [
  0.2104542553, 0.793617785, -0.0040720468, 1.9779984951, -2.428592205, 0.4505937099, 0.0259040371, 0.7827717662,
  -0.808675766,
];
const [FROM_LMS, FROM_LAB] = [inverse(TO_LMS), inverse(TO_LAB)];
const LINEAR = Float64Array.from({ length: 256 }, (_, level) => {
  const signal = level / 255;
  return signal <= 0.04045 ? signal / 12.92 : ((signal + 0.055) / 1.055) ** 2.4;
});
const [HALVINGS, TOLERANCE] = [10, 5e-4];
const [lms, light, colour, linear] = [0, 1, 2, 3].map(() => new Float64Array(3));

/** The lightness of the painting with the hue and chroma of the photo; less chroma where no display has it. */
function recolour(/** @type {Uint8Array} */ photo, /** @type {Uint8Array} */ painting, /** @type {number} */ i) {
  oklab(painting, i, light);
  oklab(photo, i, colour);
  if (isOutside(light[0], colour[1], colour[2])) {
    let factor = 0;
    for (let n = 1; n <= HALVINGS; n++) {
      const tried = factor + 2 ** -n;
      if (!isOutside(light[0], tried * colour[1], tried * colour[2])) factor = tried;
    }
    isOutside(light[0], factor * colour[1], factor * colour[2]);
  }
  for (let c = 0; c < 3; c++) {
    const value = Math.min(1, Math.max(0, linear[c]));
    painting[i + c] = Math.round(255 * (value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055));
  }
}

function oklab(/** @type {Uint8Array} */ pixels, /** @type {number} */ i, /** @type {Float64Array} */ lab) {
  multiply(TO_LMS, LINEAR[pixels[i]], LINEAR[pixels[i + 1]], LINEAR[pixels[i + 2]], lms);
  multiply(TO_LAB, Math.cbrt(lms[0]), Math.cbrt(lms[1]), Math.cbrt(lms[2]), lab);
}

/** Puts a colour's linear light into `linear`; tells whether no display shows it. */
function isOutside(/** @type {number} */ l, /** @type {number} */ a, /** @type {number} */ b) {
  multiply(FROM_LAB, l, a, b, lms);
  multiply(FROM_LMS, lms[0] ** 3, lms[1] ** 3, lms[2] ** 3, linear);
  return linear.some((value) => value < -TOLERANCE || value > 1 + TOLERANCE);
}

function multiply(
  /** @type {number[]} */ m,
  /** @type {number} */ x,
  /** @type {number} */ y,
  /** @type {number} */ z,
  /** @type {Float64Array} */ to,
) {
  for (let row = 0; row < 3; row++) to[row] = m[3 * row] * x + m[3 * row + 1] * y + m[3 * row + 2] * z;
}

/** @returns {number[]} of a 3 × 3 matrix, by its adjugate */
function inverse(/** @type {number[]} */ m) {
  const minor = (/** @type {number} */ r, /** @type {number} */ c) => {
    const at = (/** @type {number} */ i, /** @type {number} */ j) => m[3 * ((r + i) % 3) + ((c + j) % 3)];
    return at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1);
  };
  const determinant = m[0] * minor(0, 0) + m[1] * minor(0, 1) + m[2] * minor(0, 2);
  return m.map((_, i) => minor(i % 3, Math.floor(i / 3)) / determinant);
}
