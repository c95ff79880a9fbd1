/* driver.c: uses the library in every way that edgedeblur.h allows, and in ways that it refuses, under a sanitizer.
 * Arguments: the input image and the restoration that is due, as raw RGB bytes. Every image lies in a block of its own. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgedeblur.h"

enum { MOST_THREADS = 8, RUNS = 3, INSTANCES = 4 };

static atomic_int checks, failures;
static uint8_t *input, *due;

static size_t bytes(void) { return (size_t)ed_height() * (size_t)ed_width() * 3; }

static void check(int good, const char *what) {
  atomic_fetch_add(&checks, 1);
  if (good) return;
  atomic_fetch_add(&failures, 1);
  fprintf(stderr, "driver: %s; %s\n", what, ed_last_error());
}

/* Runs an image in blocks that begin `shift` bytes into theirs and end with them. */
static int run(ed_model *model, size_t shift, double *layer_ms) {
  uint8_t *from = malloc(bytes() + shift), *to = malloc(bytes() + shift);
  memcpy(from + shift, input, bytes());
  memset(to, 0xA5, bytes() + shift);
  const int status = layer_ms != NULL ? ed_run_profiled(model, from + shift, to + shift, layer_ms)
                                      : ed_run(model, from + shift, to + shift);
  const int right = memcmp(to + shift, due, bytes()) == 0;
  free(from);
  free(to);
  return status == 0 ? (right ? 0 : 1) : -1;
}

static void run_alone(int threads) {
  ed_model *model = ed_create(&(ed_options){.threads = threads});
  check(model != NULL && ed_threads(model) == threads, "an instance starts");
  if (model == NULL) return;
  double *layer_ms = calloc((size_t)ed_layer_count(), sizeof *layer_ms);
  for (size_t i = 0; i < RUNS; i++) check(run(model, i, NULL) == 0, "an image is restored");
  check(run(model, 0, layer_ms) == 0, "an image is restored while layers are timed");
  free(layer_ms);
  ed_destroy(model);
}

static void *work(void *number) {
  for (int i = 0; i < 2; i++) run_alone(1 + (int)(intptr_t)number % MOST_THREADS);
  return NULL;
}

static void *share(void *model) {
  for (int i = 0; i < 20; i++) {
    const int status = run(model, 0, NULL);
    check(status == 0 || (status == -1 && strstr(ed_last_error(), "another thread") != NULL), "a shared instance");
  }
  return NULL;
}

static void together(void *(*function)(void *), void *argument) {
  pthread_t threads[INSTANCES];
  for (intptr_t i = 0; i < INSTANCES; i++) {
    pthread_create(&threads[i], NULL, function, argument != NULL ? argument : (void *)i);
  }
  for (int i = 0; i < INSTANCES; i++) pthread_join(threads[i], NULL);
}

static void misuse(void) {
  ed_model *model = ed_create(NULL);
  check(model != NULL, "an instance with the target's threads");
  uint8_t *image = calloc(2, bytes());
  check(ed_run(NULL, input, image) == -1 && ed_run(model, NULL, image) == -1, "NULL is refused");
  check(ed_run(model, image, image + bytes() - 1) == -1, "images that overlap are refused");
  check(ed_create(&(ed_options){.threads = 65}) == NULL, "65 threads are refused");
  check(ed_create(&(ed_options){.threads = -1}) == NULL, "-1 threads are refused");
  check(ed_create(&(ed_options){.threads = 2, .cores = (uint64_t)1 << 63}) == NULL, "a core that is not there");
  check(ed_layer_name(-1) == NULL && ed_layer_name(ed_layer_count()) == NULL, "a layer out of range has no name");
  check(ed_layer_macs(ed_layer_count()) == 0 && ed_layer_macs(0) > 0, "multiply-accumulates of layers");
  ed_destroy(NULL);
  free(image);
  together(share, model);
  ed_destroy(model);
}

/* A frame whose planes lie in blocks of their own, `spare` bytes between rows; filled with noise. */
static ed_frame make_frame(int width, int height, int format, int spare) {
  ed_frame frame = {.width = width, .height = height, .format = format};
  const int half_width = (width + 1) / 2, half_height = (height + 1) / 2, apart = format == ED_YUV_420_888 ? 3 : 1;
  const int widths[3] = {format == ED_RGB ? 3 * width : format == ED_RGBA ? 4 * width : width,
                         format == ED_NV12 || format == ED_NV21 ? 2 * half_width : (half_width - 1) * apart + 1,
                         (half_width - 1) * apart + 1};
  const int planes = format <= ED_RGBA ? 1 : format <= ED_NV21 ? 2 : 3;
  for (int i = 0; i < planes; i++) {
    const int rows = i == 0 ? height : half_height;
    const size_t bytes = (size_t)(rows - 1) * (size_t)(widths[i] + spare) + (size_t)widths[i];
    frame.plane[i] = malloc(bytes);
    for (size_t k = 0; k < bytes; k++) frame.plane[i][k] = (uint8_t)(k * 2654435761u >> 13);
    frame.row_stride[i] = widths[i] + spare;
    frame.pixel_stride[i] = apart;
  }
  return frame;
}

static void free_frame(ed_frame *frame) {
  for (int i = 0; i < 3; i++) free(frame->plane[i]);
}

static void run_one_frame(ed_model *model, int width, int height, int format, const ed_frame_options *options) {
  const int turned = options->rotation % 180 != 0;
  ed_frame in = make_frame(width, height, format, 5);
  ed_frame out = make_frame(turned ? height : width, turned ? width : height, (format + 2) % (ED_YUV_420_888 + 1), 0);
  check(ed_run_frame(model, &in, &out, options) == 0, "a frame is restored");
  check(ed_run_frame(model, &in, &in, &(ed_frame_options){0}) == -1, "a frame into itself is refused");
  free_frame(&in);
  free_frame(&out);
}

static void frames(int threads) {
  ed_model *model = ed_create(&(ed_options){.threads = threads});
  const int height = ed_height(), width = ed_width();
  uint8_t *mask = calloc(5, 7), *to = malloc(bytes());
  mask[17] = 200;
  ed_frame in = {.width = width, .height = height, .plane = {input}};
  ed_frame out = {.width = width, .height = height, .plane = {to}};
  check(ed_run_frame(model, &in, &out, NULL) == 0 && memcmp(to, due, bytes()) == 0, "a frame of the network's size");
  for (int i = 0; i < 12; i++) {
    ed_frame_options options = {.rotation = i % 4 * 90, .overlap = 1 + 9 * i};
    if (i % 3 == 1) options.mask = mask, options.mask_width = 7, options.mask_height = 5;
    run_one_frame(model, 1 + width * i / 3, 1 + height * (12 - i) / 5, i % (ED_YUV_420_888 + 1), &options);
  }
  int side;
  check(ed_size(ed_sizes(), &side, &side) == -1 && ed_size(0, &side, &side) == 0, "sizes");
  out.plane[0] = NULL;
  check(ed_run_frame(model, &in, &out, NULL) == -1 && ed_run_frame(model, NULL, &out, NULL) == -1, "no frame");
  check(ed_run_frame(model, &in, &in, &(ed_frame_options){.rotation = 30}) == -1, "a rotation by 30 degrees");
  in.width = 1 << 30;
  check(ed_run_frame(model, &in, &out, NULL) == -1, "a frame too wide");
  free(mask);
  free(to);
  ed_destroy(model);
}

static void governs(void) {
  ed_governor governor = {0};
  check(ed_govern(&governor, 2, 35, &(ed_reading){9, 60, 0.1}) == 1, "a late level is left");
  check(ed_govern(&governor, 2, 35, &(ed_reading){90, 60, 2}) == 1, "the last level stays");
  check(ed_govern(&governor, 2, 35, &(ed_reading){8, 20, 0.1}) == -1, "a clock that goes back is refused");
  check(ed_govern(&governor, 1, 35, &(ed_reading){99, 20, 0.1}) == -1, "a level beyond the last is refused");
  check(ed_govern(NULL, 1, 35, NULL) == -1, "NULL is no governor");
}

static uint8_t *read_image(const char *file) {
  uint8_t *image = malloc(bytes());
  FILE *stream = fopen(file, "rb");
  check(stream != NULL && fread(image, 1, bytes(), stream) == bytes(), file);
  if (stream != NULL) fclose(stream);
  return image;
}

int main(int count, char **words) {
  if (count != 3) return 2;
  input = read_image(words[1]);
  due = read_image(words[2]);
  for (int threads = 1; threads <= MOST_THREADS; threads++) run_alone(threads);
  together(work, NULL);
  misuse();
  frames(1);
  frames(3);
  governs();
  free(input);
  free(due);
  printf("%d %d\n", atomic_load(&checks), atomic_load(&failures));
  return atomic_load(&failures) != 0;
}
