/* tiles.h: where overlapping tiles lie along an axis, and how much each counts: the rule of edgedeblur/tiles.py. */
#ifndef EDGEDEBLUR_TILES_H
#define EDGEDEBLUR_TILES_H

#include <stdint.h>

enum { ED_STEPS = 256 }; /* what the weights add up to at every position */

typedef struct {
  int length; /* of the picture */
  int padded; /* with what is reflected at its end, for the network's multiple */
  int tile;
  int count;
  int *starts;       /* of the tiles; below 0 where the picture is shorter than a tile */
  uint16_t *weights; /* count x tile */
} ed_axis;

/* How many tiles ed_axis_cut makes. */
int ed_tile_count(int length, int tile, int overlap, int multiple);

/* 0, or -1 with an error: no memory. What the axis held before is freed; it must be zero or have been cut. */
int ed_axis_cut(ed_axis *axis, int length, int tile, int overlap, int multiple);

void ed_axis_free(ed_axis *axis);

/* The first position of the picture that a tile covers, and one after the last. */
int ed_axis_begin(const ed_axis *axis, int index);
int ed_axis_end(const ed_axis *axis, int index);

/* Positions before this one are finished once tile `index` and those before it are there: an even number, or the
 * length. 0 for index -1. */
int ed_axis_done(const ed_axis *axis, int index);

/* The most positions that wait for the next tile. */
int ed_axis_waiting(const ed_axis *axis);

/* The position of the picture that a network sees at `at`, which may lie beyond either end. */
int ed_axis_source(const ed_axis *axis, int at);

#endif
