/* tiles.c: where overlapping tiles lie along an axis, and how much each counts. */
#include "tiles.h"

#include <stdlib.h>

#include "error.h"

static int least(int a, int b) { return a < b ? a : b; }
static int most(int a, int b) { return a > b ? a : b; }

static int round_up(int length, int multiple) { return (length + multiple - 1) / multiple * multiple; }

int ed_tile_count(int length, int tile, int overlap, int multiple) {
  const int padded = round_up(length, multiple);
  if (padded <= tile) return padded == tile ? 1 : 2;
  const int stride = most(multiple, tile - least(overlap, tile / 2));
  return (padded - tile + stride - 1) / stride + 1;
}

static int start(const ed_axis *axis, int index, int multiple) {
  const int last = axis->padded - axis->tile;
  if (index == axis->count - 1) return last;
  if (axis->padded < axis->tile) return 0;
  return (int)((int64_t)last * index / (axis->count - 1)) / multiple * multiple;
}

/* The part of the padded axis that a tile covers. */
static int covered_from(const ed_axis *axis, int index) { return most(axis->starts[index], 0); }
static int covered_to(const ed_axis *axis, int index) { return least(axis->starts[index] + axis->tile, axis->padded); }

static uint16_t *weight(const ed_axis *axis, int index, int at) {
  return axis->weights + (size_t)index * (size_t)axis->tile + (size_t)(at - axis->starts[index]);
}

static int margin(const ed_axis *axis, int index) {
  const int from = covered_from(axis, index + 1), to = covered_to(axis, index);
  const int before = index > 0 ? covered_to(axis, index - 1) - from : 0;
  const int after = index + 2 < axis->count ? to - covered_from(axis, index + 2) : 0;
  return most((to - from) / 4, (most(most(before, after), 0) + 1) / 2);
}

/* Fades from a tile to the next one over their overlap. */
static void fade(ed_axis *axis, int index) {
  const int from = covered_from(axis, index + 1), to = covered_to(axis, index), edge = margin(axis, index);
  const int length = most(to - from - 2 * edge, 1);
  for (int at = from; at < to; at++) {
    const int twice = 2 * (at - from - edge) + 1;
    const int steps = twice < 0 ? 0 : least(twice * ED_STEPS / (2 * length), ED_STEPS);
    uint16_t *leaving = weight(axis, index, at), *coming = weight(axis, index + 1, at);
    *leaving = (uint16_t)(*leaving * (ED_STEPS - steps) / ED_STEPS);
    *coming = (uint16_t)(*coming * steps / ED_STEPS);
  }
}

int ed_axis_cut(ed_axis *axis, int length, int tile, int overlap, int multiple) {
  ed_axis_free(axis);
  *axis =
      (ed_axis){length, round_up(length, multiple), tile, ed_tile_count(length, tile, overlap, multiple), NULL, NULL};
  axis->starts = calloc((size_t)axis->count, sizeof *axis->starts);
  axis->weights = calloc((size_t)axis->count * (size_t)tile, sizeof *axis->weights);
  if (axis->starts == NULL || axis->weights == NULL) return ed_fail("no memory for %d tiles", axis->count);
  for (int i = 0; i < axis->count; i++) {
    axis->starts[i] = start(axis, i, multiple);
    for (int at = covered_from(axis, i); at < covered_to(axis, i); at++) *weight(axis, i, at) = ED_STEPS;
  }
  for (int i = 0; i + 1 < axis->count; i++) fade(axis, i);
  return 0;
}

void ed_axis_free(ed_axis *axis) {
  free(axis->starts);
  free(axis->weights);
  *axis = (ed_axis){0};
}

int ed_axis_begin(const ed_axis *axis, int index) { return least(covered_from(axis, index), axis->length); }

int ed_axis_end(const ed_axis *axis, int index) { return least(covered_to(axis, index), axis->length); }

int ed_axis_done(const ed_axis *axis, int index) {
  if (index < 0) return 0;
  return index + 1 < axis->count ? ed_axis_begin(axis, index + 1) & ~1 : axis->length;
}

int ed_axis_waiting(const ed_axis *axis) {
  int waiting = 0;
  for (int i = 0; i < axis->count; i++) waiting = most(waiting, ed_axis_end(axis, i) - ed_axis_done(axis, i));
  return waiting;
}

static int reflect(int at, int length) {
  if (length == 1) return 0;
  const int period = 2 * (length - 1), within = (at % period + period) % period;
  return within < length ? within : period - within;
}

int ed_axis_source(const ed_axis *axis, int at) { return reflect(reflect(at, axis->padded), axis->length); }
