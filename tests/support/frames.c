/* frames.c: one frame through ed_run_frame, from and to files; tests build it with an artefact's sources for a target.
 * Arguments: input, output, width, height; of the input and then of the output format, matrix, range, three row strides
 * and three pixel strides; rotation, overlap, mask or "-", its width and height, how often, threads. In the files planes
 * lie one after the other, with all bytes of their rows; those of the output that are no pixels are 0xA5. Prints the
 * number of tiles and the peak of the resident kilobytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgedeblur.h"

enum { NUMBERS = 9 }; /* of a frame */

static void read_numbers(ed_frame *frame, char **words) {
  frame->format = atoi(words[0]);
  frame->matrix = atoi(words[1]);
  frame->range = atoi(words[2]);
  for (int i = 0; i < 3; i++) frame->row_stride[i] = atoi(words[3 + i]);
  for (int i = 0; i < 3; i++) frame->pixel_stride[i] = atoi(words[6 + i]);
}

/* Puts the planes into the memory; how many bytes they take. */
static size_t place(ed_frame *frame, uint8_t *memory) {
  const int halves = (frame->height + 1) / 2;
  size_t bytes = 0;
  for (int i = 0; i < 3 && frame->row_stride[i] > 0; i++) {
    frame->plane[i] = memory + bytes;
    bytes += (size_t)frame->row_stride[i] * (size_t)(i == 0 ? frame->height : halves);
  }
  return bytes;
}

static uint8_t *allocate(size_t bytes) {
  uint8_t *memory = malloc(bytes);
  if (memory == NULL) exit(2);
  return memory;
}

static uint8_t *read_all(const char *path, size_t bytes) {
  uint8_t *memory = allocate(bytes);
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(memory, 1, bytes, file) != bytes) {
    perror(path);
    exit(2);
  }
  fclose(file);
  return memory;
}

static void print_peak(void) {
  FILE *status = fopen("/proc/self/status", "r");
  for (char line[256]; status != NULL && fgets(line, sizeof line, status) != NULL;) {
    long kb;
    if (sscanf(line, "VmHWM: %ld", &kb) == 1) printf("%ld\n", kb);
  }
}

int main(int count, char **words) {
  if (count != 5 + 2 * NUMBERS + 7) return 2;
  char **rest = words + 5 + 2 * NUMBERS;
  ed_frame in = {.width = atoi(words[3]), .height = atoi(words[4])}, out = in;
  ed_frame_options options = {.rotation = atoi(rest[0]), .overlap = atoi(rest[1])};
  if (options.rotation % 180 != 0) out.width = in.height, out.height = in.width;
  read_numbers(&in, words + 5);
  read_numbers(&out, words + 5 + NUMBERS);
  if (rest[2][0] != '-') {
    options.mask_width = atoi(rest[3]);
    options.mask_height = atoi(rest[4]);
    options.mask = read_all(rest[2], (size_t)options.mask_width * (size_t)options.mask_height);
  }
  place(&in, read_all(words[1], place(&in, NULL)));
  const size_t written = place(&out, NULL);
  place(&out, memset(allocate(written), 0xA5, written));
  ed_model *model = ed_create(&(ed_options){.threads = atoi(rest[6])});
  for (int i = 0; model != NULL && i < atoi(rest[5]); i++) {
    if (ed_run_frame(model, &in, &out, &options) != 0) model = NULL;
  }
  if (model == NULL) {
    fprintf(stderr, "%s\n", ed_last_error());
    return 1;
  }
  FILE *file = fopen(words[2], "wb");
  if (file == NULL || fwrite(out.plane[0], 1, written, file) != written || fclose(file) != 0) return 2;
  printf("%d\n", ed_frame_tiles(model));
  print_peak();
  ed_destroy(model);
  return 0;
}
