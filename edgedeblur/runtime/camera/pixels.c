/* pixels.c: pixels of frames as RGB and back, in integers with 16 fractional bits: the same bytes on every target. */
#include "pixels.h"

#include <string.h>

#include "error.h"

enum { MAX_SIDE = 32768, OPAQUE = 255, BITS = 16, HALF = 1 << (BITS - 1) };

typedef struct {
  int black;    /* luma */
  int scale;    /* of luma to RGB */
  int from[4];  /* Cr to red, Cb and Cr to green (subtracted), Cb to blue */
  int to[3][3]; /* R, G, B to Y, Cb, Cr */
} colours;

/* ITU-R BT.601-7 and BT.709-6, each with limited and full range; frame.py has the formulas. */
/* clang-format off */
static const colours COLOURS[2][2] = {
    {{16, 76309, {104597, 25675, 53279, 132201},
      {{16829, 33039, 6416}, {-9714, -19070, 28784}, {28784, -24103, -4681}}},
     {0, 65536, {91881, 22553, 46802, 116130},
      {{19595, 38470, 7471}, {-11058, -21710, 32768}, {32768, -27439, -5329}}}},
    {{16, 76309, {117489, 13975, 34925, 138438},
      {{11966, 40254, 4064}, {-6596, -22188, 28784}, {28784, -26145, -2639}}},
     {0, 65536, {103206, 12276, 30679, 121609},
      {{13933, 46871, 4732}, {-7509, -25259, 32768}, {32768, -29763, -3005}}}},
};
/* clang-format on */

static const colours *colours_of(const ed_picture *picture) { return &COLOURS[picture->matrix][picture->range]; }

static uint8_t clamp(int value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value); }

static int half(int side) { return (side + 1) / 2; }

/* How many samples of a plane a row and a column have. */
static int plane_width(const ed_picture *picture, int plane) {
  return plane == 0 ? picture->width : half(picture->width);
}
static int plane_height(const ed_picture *picture, int plane) {
  return plane == 0 ? picture->height : half(picture->height);
}

/* One plane of the frame: `least` bytes are a sample's own. */
static int open_plane(ed_picture *picture, const ed_frame *frame, int plane, int step, int least, const char *what) {
  const int64_t needed = (int64_t)(plane_width(picture, plane) - 1) * step + least;
  const int64_t row =
      frame->row_stride[plane] != 0 ? frame->row_stride[plane] : (int64_t)plane_width(picture, plane) * step;
  if (frame->plane[plane] == NULL) return ed_fail("%s: plane %d is NULL", what, plane);
  if (row < needed)
    return ed_fail("%s: rows of plane %d are %lld bytes apart, of %lld", what, plane, (long long)row,
                   (long long)needed);
  picture->plane[plane] = frame->plane[plane];
  picture->row[plane] = (ptrdiff_t)row;
  picture->step[plane] = step;
  return 0;
}

static int open_interleaved(ed_picture *picture, const ed_frame *frame, const char *what) {
  if (open_plane(picture, frame, 1, 2, 2, what) != 0) return -1;
  const int cb = frame->format == ED_NV12 ? 1 : 2;
  picture->plane[3 - cb] = frame->plane[1] + 1;
  picture->plane[cb] = frame->plane[1];
  picture->row[2] = picture->row[1];
  picture->step[2] = 2;
  return 0;
}

static int open_planes(ed_picture *picture, const ed_frame *frame, const char *what) {
  if (!picture->yuv) {
    const int bytes = picture->alpha ? 4 : 3;
    return open_plane(picture, frame, 0, bytes, bytes, what);
  }
  if (open_plane(picture, frame, 0, 1, 1, what) != 0) return -1;
  if (frame->format == ED_NV12 || frame->format == ED_NV21) return open_interleaved(picture, frame, what);
  for (int plane = 1; plane < 3; plane++) {
    const int step = frame->format == ED_I420 || frame->pixel_stride[plane] == 0 ? 1 : frame->pixel_stride[plane];
    if (step < 0) return ed_fail("%s: samples of plane %d are %d bytes apart", what, plane, step);
    if (open_plane(picture, frame, plane, step, 1, what) != 0) return -1;
  }
  return 0;
}

int ed_picture_open(ed_picture *picture, const ed_frame *frame, const char *what) {
  if (frame == NULL) return ed_fail("%s: NULL is no frame", what);
  if (frame->width < 1 || frame->width > MAX_SIDE || frame->height < 1 || frame->height > MAX_SIDE) {
    return ed_fail("%s: %dx%d pixels; sides are 1 to %d", what, frame->width, frame->height, (int)MAX_SIDE);
  }
  if (frame->format < ED_RGB || frame->format > ED_YUV_420_888) return ed_fail("%s: format %d", what, frame->format);
  if (frame->matrix < ED_BT601 || frame->matrix > ED_BT709) return ed_fail("%s: matrix %d", what, frame->matrix);
  if (frame->range < ED_LIMITED || frame->range > ED_FULL) return ed_fail("%s: range %d", what, frame->range);
  *picture = (ed_picture){
      .width = frame->width,
      .height = frame->height,
      .yuv = frame->format != ED_RGB && frame->format != ED_RGBA,
      .alpha = frame->format == ED_RGBA,
      .matrix = frame->matrix,
      .range = frame->range,
  };
  return open_planes(picture, frame, what);
}

bool ed_pictures_overlap(const ed_picture *one, const ed_picture *other) {
  for (int i = 0; i < (one->yuv ? 3 : 1); i++) {
    for (int k = 0; k < (other->yuv ? 3 : 1); k++) {
      const uintptr_t a = (uintptr_t)one->plane[i], b = (uintptr_t)other->plane[k];
      const uintptr_t a_bytes = (uintptr_t)(plane_height(one, i) - 1) * (uintptr_t)one->row[i] +
                                (uintptr_t)plane_width(one, i) * (uintptr_t)one->step[i];
      const uintptr_t b_bytes = (uintptr_t)(plane_height(other, k) - 1) * (uintptr_t)other->row[k] +
                                (uintptr_t)plane_width(other, k) * (uintptr_t)other->step[k];
      if (a < b + b_bytes && b < a + a_bytes) return true;
    }
  }
  return false;
}

/* Where the pixels of an upright row lie in the picture: the first one, and the way to the next. */
typedef struct {
  int y, x, down, right;
} walk;

static walk walk_from(const ed_picture *picture, int rotation, int y, int x) {
  if (rotation == 90) return (walk){picture->height - 1 - x, y, -1, 0};
  if (rotation == 180) return (walk){picture->height - 1 - y, picture->width - 1 - x, 0, -1};
  if (rotation == 270) return (walk){x, picture->width - 1 - y, 1, 0};
  return (walk){y, x, 0, 1};
}

static const uint8_t *sample(const ed_picture *picture, int plane, int y, int x) {
  return picture->plane[plane] + y * picture->row[plane] + x * picture->step[plane];
}

/* Of a row that is one in memory too: chroma by pairs of pixels. */
static void read_along(const ed_picture *picture, int y, int x, int count, uint8_t *values) {
  const uint8_t *luma = sample(picture, 0, y, x);
  const uint8_t *cb = sample(picture, 1, y >> 1, 0), *cr = sample(picture, 2, y >> 1, 0);
  const ptrdiff_t cb_step = picture->step[1], cr_step = picture->step[2];
  for (int i = 0; i < count; i++) {
    const ptrdiff_t pair = (x + i) >> 1;
    values[3 * i] = luma[i];
    values[3 * i + 1] = cb[pair * cb_step];
    values[3 * i + 2] = cr[pair * cr_step];
  }
}

void ed_read_values(const ed_picture *picture, int rotation, int y, int x, int count, uint8_t *values) {
  walk at = walk_from(picture, rotation, y, x);
  const uint8_t *first = sample(picture, 0, at.y, at.x);
  const ptrdiff_t next = at.down * picture->row[0] + at.right * picture->step[0];
  if (!picture->yuv && rotation == 0 && !picture->alpha) {
    memcpy(values, first, (size_t)count * 3);
  } else if (!picture->yuv) {
    for (int i = 0; i < count; i++) memcpy(values + 3 * i, first + i * next, 3);
  } else if (rotation == 0) {
    read_along(picture, y, x, count, values);
  } else {
    for (int i = 0; i < count; i++, at.y += at.down, at.x += at.right) {
      values[3 * i] = first[i * next];
      values[3 * i + 1] = *sample(picture, 1, at.y >> 1, at.x >> 1);
      values[3 * i + 2] = *sample(picture, 2, at.y >> 1, at.x >> 1);
    }
  }
}

/* Planes of a chunk, so that the compiler makes vectors of the arithmetic. */
static void chunk_to_rgb(const colours *of, int count, uint8_t *pixels) {
  int luma[ED_CHUNK], cb[ED_CHUNK], cr[ED_CHUNK];
  uint8_t red[ED_CHUNK], green[ED_CHUNK], blue[ED_CHUNK];
  for (int i = 0; i < count; i++) {
    luma[i] = pixels[3 * i];
    cb[i] = pixels[3 * i + 1];
    cr[i] = pixels[3 * i + 2];
  }
  for (int i = 0; i < count; i++) {
    const int bright = of->scale * (luma[i] - of->black) + HALF, u = cb[i] - 128, v = cr[i] - 128;
    red[i] = clamp((bright + of->from[0] * v) >> BITS);
    green[i] = clamp((bright - of->from[1] * u - of->from[2] * v) >> BITS);
    blue[i] = clamp((bright + of->from[3] * u) >> BITS);
  }
  for (int i = 0; i < count; i++) {
    pixels[3 * i] = red[i];
    pixels[3 * i + 1] = green[i];
    pixels[3 * i + 2] = blue[i];
  }
}

void ed_read_rgb(const ed_picture *picture, int rotation, int y, int x, int count, uint8_t *rgb) {
  ed_read_values(picture, rotation, y, x, count, rgb);
  if (!picture->yuv) return;
  for (int at = 0; at < count; at += ED_CHUNK) {
    chunk_to_rgb(colours_of(picture), count - at < ED_CHUNK ? count - at : ED_CHUNK, rgb + (ptrdiff_t)at * 3);
  }
}

void ed_read_alpha(const ed_picture *picture, int rotation, int y, int x, int count, uint8_t *alpha) {
  const walk at = walk_from(picture, rotation, y, x);
  for (int i = 0; i < count; i++) {
    alpha[i] = picture->alpha ? sample(picture, 0, at.y + i * at.down, at.x + i * at.right)[3] : OPAQUE;
  }
}

static void write_rgb(const ed_picture *picture, int y, int rows, int x, int columns, const ed_line *rgb,
                      const ed_kept *kept) {
  for (int row = 0; row < rows; row++) {
    uint8_t *to = picture->plane[0] + (y + row) * picture->row[0] + x * picture->step[0];
    if (!picture->alpha) {
      memcpy(to, rgb[row], (size_t)columns * 3);
      continue;
    }
    for (int i = 0; i < columns; i++) {
      memcpy(to + 4 * i, rgb[row] + 3 * i, 3);
      to[4 * i + 3] = kept->alpha[row][i];
    }
  }
}

static void write_luma(const ed_picture *picture, int y, int rows, int x, int columns, const ed_line *rgb,
                       const ed_kept *kept) {
  const colours *of = colours_of(picture);
  const int red = of->to[0][0], green = of->to[0][1], blue = of->to[0][2], offset = (of->black << BITS) + HALF;
  for (int row = 0; row < rows; row++) {
    uint8_t *luma = picture->plane[0] + (y + row) * picture->row[0] + x;
    const uint8_t *pixels = rgb[row];
    for (int i = 0; i < columns; i++) { /* never beyond 0 to 255: the coefficients add up to white */
      luma[i] =
          (uint8_t)((red * pixels[3 * i] + green * pixels[3 * i + 1] + blue * pixels[3 * i + 2] + offset) >> BITS);
    }
    for (int i = 0; kept->values != NULL && i < columns; i++) {
      if (kept->mask[row][i] == 0) luma[i] = kept->values[row][3 * i];
    }
  }
}

/* The sums over the pixels that share chroma; at an odd edge, where there are fewer, as many times as makes four. */
static void block_sums(const ed_line *values, int last_row, int left, int right, int *sums) {
  const uint8_t *upper = values[0], *lower = values[last_row];
  for (int c = 0; c < 3; c++) {
    sums[c] = upper[3 * left + c] + upper[3 * right + c] + lower[3 * left + c] + lower[3 * right + c];
  }
}

static bool outside(const uint8_t (*mask)[ED_CHUNK], int last_row, int left, int right) {
  return (mask[0][left] | mask[0][right] | mask[last_row][left] | mask[last_row][right]) == 0;
}

static void write_chroma(const ed_picture *picture, int y, int rows, int x, int columns, const ed_line *rgb,
                         const ed_kept *kept) {
  enum { SHIFT = BITS + 2, GREY = (128 << SHIFT) + (1 << (SHIFT - 1)) };
  const colours *of = colours_of(picture);
  uint8_t *cb = picture->plane[1] + (y >> 1) * picture->row[1] + (x >> 1) * picture->step[1];
  uint8_t *cr = picture->plane[2] + (y >> 1) * picture->row[2] + (x >> 1) * picture->step[2];
  for (int i = 0; i < half(columns); i++, cb += picture->step[1], cr += picture->step[2]) {
    const int left = 2 * i, right = 2 * i + 1 < columns ? 2 * i + 1 : 2 * i;
    int sums[3];
    if (kept->values != NULL && outside(kept->mask, rows - 1, left, right)) {
      block_sums(kept->values, rows - 1, left, right, sums);
      *cb = (uint8_t)((sums[1] + 2) >> 2);
      *cr = (uint8_t)((sums[2] + 2) >> 2);
      continue;
    }
    block_sums(rgb, rows - 1, left, right, sums);
    *cb = clamp((of->to[1][0] * sums[0] + of->to[1][1] * sums[1] + of->to[1][2] * sums[2] + GREY) >> SHIFT);
    *cr = clamp((of->to[2][0] * sums[0] + of->to[2][1] * sums[1] + of->to[2][2] * sums[2] + GREY) >> SHIFT);
  }
}

void ed_write(const ed_picture *picture, int y, int rows, int x, int columns, const ed_line *rgb, const ed_kept *kept) {
  if (!picture->yuv) {
    write_rgb(picture, y, rows, x, columns, rgb, kept);
    return;
  }
  write_luma(picture, y, rows, x, columns, rgb, kept);
  write_chroma(picture, y, rows, x, columns, rgb, kept);
}
