// SPDX-License-Identifier: GPL-2.0-or-later
// The data of the page: decompressed, and its columns made arrays again.

const LEVELS = ['error', 'warning', 'note', 'clean'];

async function readData() {
  const packed = JSON.parse(document.getElementById('data').textContent);
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  if (typeof DecompressionStream === 'undefined') throw new Error('this browser cannot decompress them');
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(packed.encoding));
  const whole = await new Response(stream).arrayBuffer();
  const size = new DataView(whole).getUint32(0, true);
  const payload = JSON.parse(new TextDecoder().decode(new Uint8Array(whole, 4, size)));
  const columns = new Columns(payload.columns, new Uint8Array(whole, 4 + size));
  return payload.kernels.map((packed) => {
    const kernel = {
      ...packed,
      sequences: new Map(Object.entries(packed.sequences)),
      messages: new Map(Object.entries(packed.messages)),
    };
    kernel.images = packed.images.map((image) => imageOf(image, kernel, columns));
    return kernel;
  });
}

// Names are words of a list, addresses are steps, those of all images one after the other; see columns.py.
class Columns {
  constructor({ words, sizes }, bytes) {
    let at = 0;
    [this.written, this.shared, this.low, this.high] = sizes.map((size) => bytes.subarray(at, at += size));
    this.words = ['', ...words];
    this.at = this.name = this.step = 0;
  }

  word() {
    const { written } = this, first = written[this.at++];
    if (first < 140) return first;
    const second = written[this.at++];
    if (first < 255) return 140 + ((first - 140) << 8) + second;
    const third = written[this.at++];
    return 140 + (second << 16) + (third << 8) + written[this.at++];
  }

  names(count) {
    const names = [];
    const parts = [];
    for (let n = 0; n < count; n++) {
      parts.length = this.shared[this.name++];
      for (let word = this.word(); word; word = this.word()) parts.push(this.words[word]);
      names.push(parts.join(''));
    }
    return names;
  }

  steps(count, far) {
    const values = new Float64Array(count);
    let sum = 0, left = 0;
    for (let n = 0; n < count; n++, this.step++) {
      const half = this.low[this.step] + this.high[this.step] * 256;
      values[n] = sum += half === 0xffff ? far[left++] : half * 2;
    }
    return values;
  }
}

function summed(steps, type = Int32Array) {
  const values = new type(steps.length);
  let sum = 0;
  for (let i = 0; i < steps.length; i++) values[i] = sum += steps[i];
  return values;
}

function imageOf({ name, rows, failures }, kernel, columns) {
  const image = {
    ...rows, name, kernel,
    base: BigInt(rows.base),
    func: columns.steps(rows.count, rows.far),
    symbols: columns.names(rows.count),
    section: summed(rows.section),
    shape: summed(rows.shape),
    alignment: summed(rows.alignment, Float64Array),
    hits: rows.hits.map((hit) => ({ ...hit, sites: summed(hit.sites) })),
    states: rows.states.map((state) => ({
      ...state, words: state.words.map((word) => ({
        at: word.at, values: word.values.map((value) => parseInt(value, 16)), index: summed(word.index),
      })),
    })),
    names: new Map(Object.entries(rows.names)),
    failures: failures.map((failure) => ({ ...failure, sites: summed(failure.sites) })),
    levels: new Uint8Array(rows.count).fill(LEVELS.indexOf('clean')),
  };
  for (const hit of image.hits) {
    const level = LEVELS.indexOf(hit.level);
    for (const site of hit.sites) image.levels[site] = Math.min(image.levels[site], level);
  }
  for (const failure of image.failures) for (const site of failure.sites) image.levels[site] = 0;
  image.order = Array.from(image.func.keys()).sort((a, b) => image.func[a] - image.func[b]);
  image.end = image.count ? image.func[image.order[image.count - 1]] + 16 : 1;
  return image;
}

const hex = (value) => `0x${value.toString(16)}`;
const addressOf = (image, site) => hex(image.base + BigInt(image.func[site]));
const nameOf = (image, site) => image.symbols[site] || '(no symbol)';

function siteAt(image, address) {
  let offset;
  try {
    offset = Number(BigInt(address) - image.base);
  } catch {
    return -1;
  }
  let low = 0, high = image.count - 1;
  while (low <= high) {
    const middle = (low + high) >> 1, here = image.func[image.order[middle]];
    if (here === offset) return image.order[middle];
    if (here < offset) low = middle + 1; else high = middle - 1;
  }
  return -1;
}

function rulesOf(image, site) {
  return image.hits.filter((hit) => holds(hit.sites, site));
}

function failuresOf(image, site) {
  return image.failures.filter((failure) => holds(failure.sites, site));
}

function holds(sorted, wanted) {
  return sorted.includes(wanted);
}

function distanceOf(image, site) {
  const target = image.kernel.target;
  return target && image.name === 'kernel' ? target.farthest - image.func[site] : null;
}
