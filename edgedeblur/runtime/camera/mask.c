/* mask.c: a mask of any size over a picture, linear between the centres of its pixels. */
#include "mask.h"

#include <stddef.h>

enum { PART = 256 }; /* of a mask's pixel */

static int64_t clamp(int64_t place, int of_mask) {
  const int64_t last = (int64_t)(of_mask - 1) * PART;
  return place < 0 ? 0 : place > last ? last : place;
}

/* Where a pixel of the picture lies on the mask, in parts. */
static int64_t place(int at, int of_mask, int of_picture) {
  return clamp((2 * (int64_t)at + 1) * of_mask * PART / (2 * (int64_t)of_picture) - PART / 2, of_mask);
}

void ed_mask_read(const ed_mask *mask, int y, int x, int count, uint8_t *strength) {
  const int64_t row = place(y, mask->rows, mask->height), down = row % PART;
  const uint8_t *upper = mask->values + row / PART * mask->stride;
  const uint8_t *lower = upper + (down != 0 ? mask->stride : 0);
  const int64_t divisor = 2 * (int64_t)mask->width, step = 2 * (int64_t)mask->columns * PART;
  int64_t whole = (2 * (int64_t)x + 1) * mask->columns * PART / divisor;
  int64_t rest = (2 * (int64_t)x + 1) * mask->columns * PART % divisor;
  for (int i = 0; i < count; i++) {
    const int64_t column = clamp(whole - PART / 2, mask->columns), along = column % PART;
    const int64_t left = column / PART, right = left + (along != 0);
    const int64_t above = upper[left] * (PART - along) + upper[right] * along;
    const int64_t below = lower[left] * (PART - along) + lower[right] * along;
    strength[i] = (uint8_t)((above * (PART - down) + below * down + PART * PART / 2) / (PART * PART));
    whole += step / divisor;
    rest += step % divisor;
    if (rest >= divisor) {
      rest -= divisor;
      whole++;
    }
  }
}

bool ed_mask_reaches(const ed_mask *mask, int top, int bottom, int left, int right) {
  if (mask->values == NULL) return true;
  if (top >= bottom || left >= right) return false;
  const int64_t first = place(left, mask->columns, mask->width) / PART;
  const int64_t last = (place(right - 1, mask->columns, mask->width) + PART - 1) / PART;
  const int64_t end = (place(bottom - 1, mask->rows, mask->height) + PART - 1) / PART;
  for (int64_t row = place(top, mask->rows, mask->height) / PART; row <= end; row++) {
    for (int64_t column = first; column <= last; column++) {
      if (mask->values[row * mask->stride + column] != 0) return true;
    }
  }
  return false;
}
