// Computes the statistics of a comparison of two rows. They are those of results/statistics, and tests compare them
// with scipy.

const LEVEL = 0.05;
const ROUNDING = 1e-9;
export const MOST_SIGNS = 20; // differences whose signs are all tried: half a million ways

const sum = (values) => values.reduce((total, value) => total + value, 0);
const average = (values) => sum(values) / values.length;

function standardError(values) {
  const center = average(values);
  return Math.sqrt(sum(values.map((value) => (value - center) ** 2)) / (values.length - 1) / values.length);
}

/** Returns the two-sided p of Student's t at an angle, t being tan(angle) times the root of the degrees of freedom. */
function angleP(angle, degrees) {
  // A finite sum for whole degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4.
  const odd = degrees % 2;
  let term = odd ? Math.cos(angle) : 1;
  let terms = degrees > 1 ? term : 0;
  for (let k = 2 + odd; k < degrees - 1; k += 2) {
    term *= (Math.cos(angle) ** 2 * (k - 1)) / k;
    terms += term;
  }
  const within = Math.sin(angle) * terms;
  return Math.max(0, 1 - (odd ? (2 / Math.PI) * (angle + within) : within));
}

/** Returns the distance from zero that Student's t exceeds in 5 % of all cases, by bisection. */
export function tQuantile(degrees) {
  let [low, high] = [0, Math.PI / 2];
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (angleP(middle, degrees) > LEVEL) low = middle;
    else high = middle;
  }
  return Math.sqrt(degrees) * Math.tan(low);
}

/** Returns the 95 % interval of the mean by Student's t; null for a single value. */
export function tInterval(values) {
  if (values.length < 2) return null;
  const reach = tQuantile(values.length - 1) * standardError(values);
  return [average(values) - reach, average(values) + reach];
}

/** Returns the two-sided p of the paired t-test, from the differences; null for fewer than two. */
export function tTestP(differences) {
  if (differences.length < 2) return null;
  if (new Set(differences).size === 1) return differences[0] ? 0 : 1;
  const t = average(differences) / standardError(differences);
  return angleP(Math.atan2(Math.abs(t), Math.sqrt(differences.length - 1)), differences.length - 1);
}

/** Returns the two-sided p of the exact sign-flip test: all ways to sign the differences; null for too many. */
export function signFlipP(differences) {
  const [first, ...others] = differences;
  if (first === undefined || differences.length > MOST_SIGNS) return null;
  // All signs turned give the same distance from zero, so the first keeps its own.
  let sums = [first];
  for (const value of others) sums = [...sums.map((total) => total + value), ...sums.map((total) => total - value)];
  const observed = Math.abs(sum(differences)) - ROUNDING * sum(differences.map(Math.abs));
  return sums.filter((total) => Math.abs(total) >= observed).length / sums.length;
}

/**
 * Compares which images two models get right, or those of several seeds.
 *
 * Args: for each seed the bits of the first model and of the second, the most significant first; number of images; number
 * of images in a row that show one thing, which count as one observation.
 */
export function overImages(first, second, images, views) {
  const counts = { both: 0, onlyFirst: 0, onlySecond: 0, neither: 0 };
  const more = new Int32Array(images / views);
  first.forEach((bits, seed) => {
    for (let image = 0; image < images; image += 1) {
      const [mine, other] = [bits, second[seed]].map((some) => (some[image >> 3] >> (7 - (image & 7))) & 1);
      counts[mine ? (other ? "both" : "onlyFirst") : other ? "onlySecond" : "neither"] += 1;
      more[Math.floor(image / views)] += mine - other;
    }
  });
  const all = images * first.length;
  const shares = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count / all]));
  const interval = bootstrapEnds(more).map((total) => total / all);
  return { ...shares, difference: (counts.onlyFirst - counts.onlySecond) / all, interval, p: signedSumP(more) };
}

/** Returns how often each number occurs. */
function occurrences(numbers) {
  const found = new Map();
  for (const number of numbers) found.set(number, (found.get(number) ?? 0) + 1);
  return [...found];
}

/**
 * Returns the two-sided p of the exact sign-flip test of whole numbers; where all are -1, 0 or 1 it is McNemar's exact
 * test. The distribution of the total comes from its characteristic function, the product of the cosines.
 */
export function signedSumP(numbers) {
  const distances = occurrences([...numbers].filter(Boolean).map(Math.abs));
  const reach = sum(distances.map(([distance, count]) => distance * count));
  const size = 2 ** Math.ceil(Math.log2(2 * reach + 2));
  const wave = new Float64Array(size).fill(1);
  for (const [distance, count] of distances) {
    for (let at = 0; at < size; at += 1) wave[at] *= Math.cos((2 * Math.PI * ((distance * at) % size)) / size) ** count;
  }
  const shares = transformed(wave, new Float64Array(size));
  const observed = Math.abs(sum([...numbers]));
  let p = 0;
  for (let at = 0; at < size; at += 1) if (Math.min(at, size - at) >= observed) p += shares[at] / size;
  return Math.min(1, Math.max(0, p));
}

/**
 * Returns the ends of the 95 % percentile interval of the total of whole numbers that are drawn again, with replacement.
 * Nothing is drawn: the distribution of the total is computed, as of infinitely many draws.
 */
export function bootstrapEnds(numbers) {
  const n = numbers.length;
  const counts = occurrences(numbers);
  const least = Math.min(...counts.map(([number]) => number));
  const range = n * (Math.max(...counts.map(([number]) => number)) - least);
  const size = 2 ** Math.ceil(Math.log2(range + 1));
  const [real, imaginary] = [new Float64Array(size), new Float64Array(size)];
  for (let at = 0; at < size; at += 1) {
    let [x, y] = [0, 0];
    for (const [number, count] of counts) {
      const angle = (2 * Math.PI * (((number - least) * at) % size)) / size;
      x += (count / n) * Math.cos(angle);
      y += (count / n) * Math.sin(angle);
    }
    const [length, angle] = [Math.hypot(x, y) ** n, Math.atan2(y, x) * n];
    [real[at], imaginary[at]] = [length * Math.cos(angle), length * Math.sin(angle)];
  }
  const shares = transformed(real, imaginary);
  const end = (level) => {
    let [total, below] = [0, shares[0] / size];
    while (below < level && total < range) below += shares[(total += 1)] / size;
    return total + n * least;
  };
  return [end(LEVEL / 2), end(1 - LEVEL / 2)];
}

/** Returns the real part of the discrete Fourier transform (exponent negative), of a length that is a power of two. */
function transformed(real, imaginary) {
  const size = real.length;
  for (let at = 1, mirror = 0; at < size; at += 1) {
    let bit = size >> 1;
    for (; mirror & bit; bit >>= 1) mirror ^= bit;
    mirror ^= bit;
    if (at < mirror) {
      [real[at], real[mirror]] = [real[mirror], real[at]];
      [imaginary[at], imaginary[mirror]] = [imaginary[mirror], imaginary[at]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let within = 0; within < half; within += 1) {
      const [cosine, sine] = [Math.cos((Math.PI * within) / half), -Math.sin((Math.PI * within) / half)];
      for (let even = within; even < size; even += 2 * half) {
        const odd = even + half;
        const x = real[odd] * cosine - imaginary[odd] * sine;
        const y = real[odd] * sine + imaginary[odd] * cosine;
        [real[odd], imaginary[odd]] = [real[even] - x, imaginary[even] - y];
        [real[even], imaginary[even]] = [real[even] + x, imaginary[even] + y];
      }
    }
  }
  return real;
}
