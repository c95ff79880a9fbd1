/* frames.c: one frame through ed_run_frame, from and to files; tests build it with an artefact's sources for a target.
 * Arguments: input, output, width, height, format, matrix, range, rotation, overlap, mask or "-", its width and height,
 * how often, threads. Planes lie one after the other, tightly packed, and come out in the same way, in the input's
 * format. */
#include <stdio.h>
#include <stdlib.h>

#include "edgedeblur.h"

static size_t describe(ed_frame *frame, uint8_t *memory) {
  const size_t pixels = (size_t)frame->width * (size_t)frame->height;
  const size_t chroma = (size_t)((frame->width + 1) / 2) * (size_t)((frame->height + 1) / 2);
  frame->plane[0] = memory;
  frame->plane[1] = memory + pixels;
  frame->plane[2] = memory + pixels + chroma;
  if (frame->format == ED_RGB || frame->format == ED_RGBA) return pixels * (frame->format == ED_RGB ? 3 : 4);
  return pixels + 2 * chroma;
}

static uint8_t *read_all(const char *path, size_t bytes) {
  uint8_t *memory = malloc(bytes);
  FILE *file = fopen(path, "rb");
  if (memory == NULL || file == NULL || fread(memory, 1, bytes, file) != bytes) {
    perror(path);
    exit(2);
  }
  fclose(file);
  return memory;
}

int main(int count, char **words) {
  if (count != 15) return 2;
  ed_frame in = {.width = atoi(words[3]), .height = atoi(words[4]), .format = atoi(words[5])};
  in.matrix = atoi(words[6]);
  in.range = atoi(words[7]);
  ed_frame_options options = {.rotation = atoi(words[8]), .overlap = atoi(words[9])};
  if (words[10][0] != '-') {
    options.mask_width = atoi(words[11]);
    options.mask_height = atoi(words[12]);
    options.mask = read_all(words[10], (size_t)options.mask_width * (size_t)options.mask_height);
  }
  ed_frame out = in;
  out.width = options.rotation % 180 == 0 ? in.width : in.height;
  out.height = options.rotation % 180 == 0 ? in.height : in.width;
  const size_t bytes = describe(&in, NULL), written = describe(&out, NULL);
  describe(&in, read_all(words[1], bytes));
  describe(&out, malloc(written));
  ed_model *model = ed_create(&(ed_options){.threads = atoi(words[14])});
  for (int i = 0; model != NULL && i < atoi(words[13]); i++) {
    if (ed_run_frame(model, &in, &out, &options) != 0) model = NULL;
  }
  if (model == NULL) {
    fprintf(stderr, "%s\n", ed_last_error());
    return 1;
  }
  FILE *file = fopen(words[2], "wb");
  if (file == NULL || fwrite(out.plane[0], 1, written, file) != written || fclose(file) != 0) return 2;
  printf("%d\n", ed_frame_tiles(model));
  FILE *status = fopen("/proc/self/status", "r");
  for (char line[256]; status != NULL && fgets(line, sizeof line, status) != NULL;) {
    long kb;
    if (sscanf(line, "VmHWM: %ld", &kb) == 1) printf("%ld\n", kb);
  }
  ed_destroy(model);
  return 0;
}
