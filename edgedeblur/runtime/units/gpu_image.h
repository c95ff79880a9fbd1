/* gpu_image.h: images as a GPU's kernels have them, one word a pixel; and the clock by which layers are timed. */
#ifndef EDGEDEBLUR_GPU_IMAGE_H
#define EDGEDEBLUR_GPU_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "tables.h"

static inline size_t ed_gpu_pixels(void) {
  return (size_t)ed_model_tables[0].height * (size_t)ed_model_tables[0].width;
}

/* From three bytes a pixel to red, green, blue, unused. */
static inline void ed_gpu_write_words(uint8_t *words, const uint8_t *rgb) {
  for (size_t i = 0; i < ed_gpu_pixels(); i++) {
    const uint8_t *from = rgb + 3 * i;
    const uint8_t word[4] = {from[0], from[1], from[2], 0};
    memcpy(words + 4 * i, word, sizeof word);
  }
}

static inline void ed_gpu_read_words(uint8_t *rgb, const uint8_t *words) {
  for (size_t i = 0; i < ed_gpu_pixels(); i++) memcpy(rgb + 3 * i, words + 4 * i, 3);
}

static inline double ed_gpu_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

#endif
