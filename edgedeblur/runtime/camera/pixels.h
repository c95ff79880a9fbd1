/* pixels.h: pixels of frames as RGB and back. edgedeblur/runtime/frame.py defines the arithmetic. */
#ifndef EDGEDEBLUR_PIXELS_H
#define EDGEDEBLUR_PIXELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edgedeblur.h"

enum { ED_CHUNK = 64 }; /* pixels of a row that are finished together; even, as chroma is for pairs of them */

typedef uint8_t ed_line[ED_CHUNK * 3];

/* A frame with all of its planes and strides known; YUV as luma, Cb, Cr whatever the format. */
typedef struct {
  int width, height;
  bool yuv, alpha;
  int matrix, range;
  uint8_t *plane[3];
  ptrdiff_t row[3], step[3]; /* bytes from a row to the next, and from a sample to the next */
} ed_picture;

/* 0, or -1 with an error: a format or size that cannot be, planes or strides that are missing. `what`: "input". */
int ed_picture_open(ed_picture *picture, const ed_frame *frame, const char *what);

/* Whether the memory of two frames overlaps. */
bool ed_pictures_overlap(const ed_picture *one, const ed_picture *other);

/* `count` pixels from (y, x) of the picture turned clockwise by `rotation` degrees: three bytes each, of YUV or RGB. */
void ed_read_values(const ed_picture *picture, int rotation, int y, int x, int count, uint8_t *values);

/* The same as RGB. */
void ed_read_rgb(const ed_picture *picture, int rotation, int y, int x, int count, uint8_t *rgb);

/* Their alpha: ED_OPAQUE where the picture has none. */
void ed_read_alpha(const ed_picture *picture, int rotation, int y, int x, int count, uint8_t *alpha);

/* What ed_write takes beside the colours. `values` (of YUV like the written picture's) and `mask` are NULL, or those of
 * pixels to keep where the mask is 0. */
typedef struct {
  const ed_line *values;
  const uint8_t (*mask)[ED_CHUNK];
  const uint8_t (*alpha)[ED_CHUNK];
} ed_kept;

/* Writes `columns` (at most ED_CHUNK) pixels of one or two rows from (y, x); both are even, and what is written ends at
 * an even place or with the picture. */
void ed_write(const ed_picture *picture, int y, int rows, int x, int columns, const ed_line *rgb, const ed_kept *kept);

#endif
