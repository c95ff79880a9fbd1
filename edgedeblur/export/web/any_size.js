"use strict";
// Pictures of any size by a network of one size: the tiles, weights and rounding of restore/tiling.py and tiles.py.
const OVERLAP = 64, STEPS = 256;

function tileStarts(length, tile) {
  if (length === tile) return [0];
  if (length < tile) return [0, length - tile];
  const stride = Math.max(data.multiple, tile - Math.min(OVERLAP, Math.floor(tile / 2)));
  const count = Math.ceil((length - tile) / stride) + 1, last = length - tile;
  const grid = (at) => at - (at % data.multiple);
  return Array.from({ length: count }, (_, i) => i === count - 1 ? last : grid(Math.floor((last * i) / (count - 1))));
}

function tileWeights(spans) {
  const weights = spans.map(([start, end]) => new Float64Array(end - start).fill(1));
  for (let i = 0; i + 1 < spans.length; i++) {
    const shared = spans[i][1] - spans[i + 1][0];
    const before = i > 0 ? spans[i - 1][1] - spans[i + 1][0] : 0;
    const after = i + 2 < spans.length ? spans[i][1] - spans[i + 2][0] : 0;
    const margin = Math.max(Math.floor(shared / 4), Math.floor((Math.max(before, after) + 1) / 2));
    for (let at = 0; at < shared; at++) {
      const steps = Math.floor(((2 * (at - margin) + 1) * STEPS) / (2 * Math.max(shared - 2 * margin, 1)));
      const ramp = Math.min(STEPS, Math.max(0, steps)) / STEPS;
      weights[i][weights[i].length - shared + at] *= 1 - ramp;
      weights[i + 1][at] *= ramp;
    }
  }
  return weights;
}

/* Mirrored at both ends as often as it takes. */
function reflected(at, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1), place = ((at % period) + period) % period;
  return place < length ? place : period - place;
}

/* Of one axis: its tiles, each with where its pixels come from, what it covers and how much it counts there. */
function tilesOf(length, tile) {
  const padded = Math.ceil(length / data.multiple) * data.multiple;
  const starts = tileStarts(padded, tile);
  const spans = starts.map((start) => [Math.max(start, 0), Math.min(start + tile, padded)]);
  const weights = tileWeights(spans);
  return starts.map((start, i) => ({
    from: Int32Array.from({ length: tile }, (_, at) => reflected(reflected(start + at, padded), length)),
    inside: spans[i][0] - start, begin: spans[i][0], end: Math.min(spans[i][1], length), weights: weights[i],
  }));
}

function cut({ data: pixels, width }, row, column) {
  const tile = new Uint8ClampedArray(4 * data.height * data.width);
  for (let y = 0, to = 0; y < data.height; y++) {
    for (let x = 0; x < data.width; x++, to += 4) {
      const at = 4 * (row.from[y] * width + column.from[x]);
      for (let channel = 0; channel < 3; channel++) tile[to + channel] = pixels[at + channel];
      tile[to + 3] = 255;
    }
  }
  return tile;
}

function addTile(sums, width, restored, row, column) {
  for (let y = row.begin; y < row.end; y++) {
    for (let x = column.begin; x < column.end; x++) {
      const weight = row.weights[y - row.begin] * column.weights[x - column.begin];
      const from = 4 * ((y - row.begin + row.inside) * data.width + x - column.begin + column.inside);
      const to = 3 * (y * width + x);
      for (let channel = 0; channel < 3; channel++) sums[to + channel] += weight * restored[from + channel];
    }
  }
}

/* To the nearest whole number, a half to the even one. */
function rounded(value) {
  const low = Math.floor(value), rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/* An ImageData to another one; `told` is called with how many tiles are done, and how many there are. */
async function restoreAnySize(network, image, told = () => {}) {
  const { width, height } = image, sums = new Float32Array(3 * width * height);
  const rows = tilesOf(height, data.height), columns = tilesOf(width, data.width);
  let done = 0;
  for (const row of rows) {
    for (const column of columns) {
      addTile(sums, width, await network.restore(cut(image, row, column)), row, column);
      told(++done, rows.length * columns.length);
    }
  }
  const restored = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) restored.data[4 * at + channel] = rounded(sums[3 * at + channel]);
    restored.data[4 * at + 3] = 255;
  }
  return restored;
}

/* For each of `count` places of an axis that is made shorter: the pixels that it covers, and their shares. */
function areas(length, count) {
  const scale = length / count;
  return Array.from({ length: count }, (_, i) => {
    const parts = [];
    for (let at = Math.floor(i * scale); at < Math.min(length, Math.ceil((i + 1) * scale)); at++) {
      parts.push([at, (Math.min(at + 1, (i + 1) * scale) - Math.max(at, i * scale)) / scale]);
    }
    return parts;
  });
}

/* For each of `length` places of an axis that was made `count` long: its two neighbours there, and their shares. */
function neighbours(count, length) {
  return Array.from({ length }, (_, i) => {
    const place = Math.min(count - 1, Math.max(0, ((i + 0.5) * count) / length - 0.5));
    const low = Math.min(Math.floor(place), Math.max(count - 2, 0));
    return count === 1 ? [[0, 1]] : [[low, 1 - place + low], [low + 1, place - low]];
  });
}

/* Each pixel [height, width] the sum of shares of pixels of `values`, 4 a pixel, of which 3 count. */
function resampled(values, width, rows, columns) {
  const found = new Float32Array(4 * rows.length * columns.length);
  rows.forEach((down, y) => columns.forEach((across, x) => {
    const to = 4 * (y * columns.length + x);
    for (const [row, share] of down) {
      for (const [column, part] of across) {
        const from = 4 * (row * width + column);
        for (let channel = 0; channel < 3; channel++) found[to + channel] += share * part * values[from + channel];
      }
    }
  }));
  return found;
}

/* What restore/half_scale.py does: what the network changes in the picture at half its size is added to it. */
async function restoreAtHalfScale(network, image, told) {
  const { width, height } = image, reducedWidth = Math.ceil(width / 2), reducedHeight = Math.ceil(height / 2);
  const reduced = new ImageData(reducedWidth, reducedHeight);
  const means = resampled(image.data, width, areas(height, reducedHeight), areas(width, reducedWidth));
  for (let at = 0; at < means.length; at++) reduced.data[at] = at % 4 === 3 ? 255 : Math.floor(means[at] + 0.5);
  const restored = (await restoreAnySize(network, reduced, told)).data;
  const change = Float32Array.from(restored, (value, at) => value - reduced.data[at]);
  const enlarged = resampled(change, reducedWidth, neighbours(reducedHeight, height), neighbours(reducedWidth, width));
  const found = new ImageData(width, height);
  for (let at = 0; at < enlarged.length; at++) {
    found.data[at] = at % 4 === 3 ? 255 : rounded(image.data[at] + enlarged[at]);
  }
  return found;
}
