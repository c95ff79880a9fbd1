/* mask.h: how much of the restoration counts at a pixel. edgedeblur/restore/frames.py defines the arithmetic. */
#ifndef EDGEDEBLUR_MASK_H
#define EDGEDEBLUR_MASK_H

#include <stdbool.h>
#include <stdint.h>

/* A mask over a picture of height x width; `values` NULL: all of it is restored. */
typedef struct {
  const uint8_t *values;
  int rows, columns;
  int64_t stride; /* bytes from a row to the next */
  int height, width;
} ed_mask;

/* 0 to 255 of `count` pixels from (y, x). */
void ed_mask_read(const ed_mask *mask, int y, int x, int count, uint8_t *strength);

/* Whether a value above 0 may reach a pixel of rows [top, bottom) and columns [left, right). */
bool ed_mask_reaches(const ed_mask *mask, int top, int bottom, int left, int right);

#endif
