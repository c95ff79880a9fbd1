/* instance.c: the public interface: an instance, the unit that computes for it, and what the network is. */
#include "instance.h"

#include <stdbool.h>
#include <stdlib.h>

#include "camera.h"
#include "cpu.h"
#include "cpu_unit.h"
#include "error.h"
#include "self_test.h"
#include "tables.h"

#define TABLES (*ed_cpu_tables()) /* of the first size; those of the others follow */

static int start(ed_model *model, const ed_options *options) {
  if (options->unit < ED_AUTO || options->unit > ED_GPU) {
    return ed_fail("unit %d; there are ED_AUTO, ED_CPU and ED_GPU", (int)options->unit);
  }
  if (options->unit == ED_GPU) return ed_fail("this artefact has no kernels for a GPU");
  model->canary = options->canary;
  model->cpu = ed_cpu_create(options->threads, options->cores);
  return model->cpu != NULL ? 0 : -1;
}

ed_model *ed_create(const ed_options *options) {
  static const ed_options defaults;
  ed_model *model = calloc(1, sizeof *model);
  if (model == NULL) return ed_fail("no memory"), NULL;
  if (start(model, options != NULL ? options : &defaults) == 0) return model;
  ed_destroy(model);
  return NULL;
}

static bool overlap(const uint8_t *rgb_in, const uint8_t *rgb_out) {
  const size_t bytes = (size_t)TABLES.height * (size_t)TABLES.width * 3;
  const uintptr_t in = (uintptr_t)rgb_in, out = (uintptr_t)rgb_out;
  return in < out + bytes && out < in + bytes;
}

/* The self-test again after every so many images. */
static int check_again(ed_model *model) {
  if (model->canary == 0 || ++model->images < model->canary) return 0;
  model->images = 0;
  return ed_self_test(ed_cpu_run_image, model->cpu, ed_cpu_name(model->cpu));
}

int ed_begin(ed_model *model) {
  if (!atomic_exchange(&model->running, true)) return 0;
  return ed_fail("this instance is running an image in another thread");
}

int ed_end(ed_model *model, int status) {
  if (status == 0) status = check_again(model);
  atomic_store(&model->running, false);
  return status;
}

int ed_restore(ed_model *model, int size, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return ed_cpu_run(model->cpu, size, rgb_in, rgb_out, NULL);
}

int ed_launch(ed_model *model, FTVMParallelLambda function, void *closure, int tasks) {
  return ed_cpu_launch(model->cpu, function, closure, tasks);
}

int ed_run_profiled(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  if (model == NULL || rgb_in == NULL || rgb_out == NULL) return ed_fail("NULL is no model and no image");
  if (overlap(rgb_in, rgb_out)) return ed_fail("input and output image overlap");
  if (ed_begin(model) != 0) return -1;
  return ed_end(model, ed_cpu_run(model->cpu, 0, rgb_in, rgb_out, layer_ms));
}

int ed_run(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return ed_run_profiled(model, rgb_in, rgb_out, NULL);
}

void ed_destroy(ed_model *model) {
  if (model == NULL) return;
  ed_cpu_destroy(model->cpu);
  ed_camera_destroy(model->camera);
  free(model);
}

int ed_threads(const ed_model *model) { return ed_cpu_threads(model->cpu); }
ed_processor ed_unit(const ed_model *model) { return model->cpu != NULL ? ED_CPU : ED_GPU; }

int ed_size(int index, int *height, int *width) {
  if (index < 0 || index >= ed_sizes()) return ed_fail("size %d of %d", index, ed_sizes());
  *height = (&TABLES)[index].height;
  *width = (&TABLES)[index].width;
  return 0;
}

static bool is_layer(int layer) { return layer >= 0 && (uint32_t)layer < TABLES.layer_count; }

const char *ed_name(void) { return TABLES.name; }
const char *ed_version(void) { return TABLES.version; }
const char *ed_isa(void) { return ed_isa_name(TABLES.isa); }
int ed_height(void) { return TABLES.height; }
int ed_width(void) { return TABLES.width; }
int ed_sizes(void) { return (int)ed_model_sizes; }
size_t ed_arena_bytes(void) { return ed_cpu_arena_bytes(&TABLES); }
size_t ed_workspace_bytes(void) { return ed_cpu_workspace_bytes(&TABLES); }
size_t ed_weights_bytes(void) { return TABLES.constants_bytes; }
int ed_layer_count(void) { return (int)TABLES.layer_count; }
const char *ed_layer_name(int layer) { return is_layer(layer) ? TABLES.layers[layer].name : NULL; }
uint64_t ed_layer_macs(int layer) { return is_layer(layer) ? TABLES.layers[layer].macs : 0; }
