// P of one picture: m rows of n weights, and what a person may read in them.

export class Look {
  constructor(answer) {
    this.n = answer.image_tokens_original;
    this.m = answer.image_tokens;
    this.grid = answer.grid;
    this.keptGrid = answer.kept_grid;
    this.visible = answer.visible;
    this.weights = halves(answer.weights);
    this.coverage = columnSums(this.weights, this.m, this.n);
  }

  row(token) {
    return this.weights.subarray(token * this.n, (token + 1) * this.n);
  }

  // The kept token that takes most of one visual token.
  strongestAt(visualToken) {
    let best = 0;
    for (let token = 1; token < this.m; token += 1) {
      const here = this.weights[token * this.n + visualToken];
      if (here > this.weights[best * this.n + visualToken]) best = token;
    }
    return best;
  }

  // How many visual tokens a row looks at: the exponential of its entropy.
  breadth(token) {
    let entropy = 0;
    for (const weight of this.row(token)) if (weight > 0) entropy -= weight * Math.log(weight);
    return Math.exp(entropy);
  }

  // Share of visual tokens with less than a tenth of an even share.
  get unseenShare() {
    const even = this.m / this.n;
    return this.coverage.filter((sum) => sum < even / 10).length / this.n;
  }
}

export function largest(values) {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

function columnSums(weights, m, n) {
  const sums = new Float32Array(n);
  for (let index = 0; index < m * n; index += 1) sums[index % n] += weights[index];
  return sums;
}

// Base64 of half-precision numbers, little-endian.
function halves(text) {
  const raw = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(raw.buffer);
  return Float32Array.from({ length: raw.length / 2 }, (_, index) => half(view.getUint16(2 * index, true)));
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * 2 ** -14 * (fraction / 1024);
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}
