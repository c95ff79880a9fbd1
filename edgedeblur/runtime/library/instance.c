/* instance.c: the public interface: an instance, the unit that computes for it, and what the network is. */
#include "instance.h"

#include <stdbool.h>
#include <stdlib.h>

#include "camera.h"
#include "cpu.h"
#include "cpu_unit.h"
#include "error.h"
#include "gpu_unit.h"
#include "self_test.h"
#include "tables.h"

#define TABLES (*ed_cpu_tables()) /* of the first size; those of the others follow */

static int run_on_gpu(void *unit, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return ed_model_gpu->run(unit, rgb_in, rgb_out, NULL);
}

static int test_gpu(const ed_model *model) {
  return ed_self_test(run_on_gpu, model->gpu, ed_model_gpu->device(model->gpu)->name, true);
}

static void leave_gpu(ed_model *model) {
  if (model->gpu != NULL) ed_model_gpu->destroy(model->gpu);
  model->gpu = NULL;
}

static int start_cpu(ed_model *model) {
  model->cpu = ed_cpu_create(model->options.threads, model->options.cores);
  return model->cpu != NULL ? 0 : -1;
}

static int start_gpu(ed_model *model) {
  if (ed_model_gpu == NULL) return ed_fail("this artefact has no kernels for a GPU");
  model->gpu = ed_model_gpu->create(&model->options);
  if (model->gpu == NULL) return -1;
  if (test_gpu(model) == 0) return 0;
  leave_gpu(model);
  return -1;
}

static int start(ed_model *model) {
  const ed_processor unit = model->options.unit;
  if (unit < ED_AUTO || unit > ED_GPU) return ed_fail("unit %d; there are ED_AUTO, ED_CPU and ED_GPU", (int)unit);
  if (unit == ED_GPU) return start_gpu(model);
  if (unit == ED_AUTO && ed_model_gpu != NULL && start_gpu(model) == 0) return 0;
  return start_cpu(model);
}

ed_model *ed_create(const ed_options *options) {
  ed_model *model = calloc(1, sizeof *model);
  if (model == NULL) return ed_fail("no memory"), NULL;
  if (options != NULL) model->options = *options;
  if (start(model) == 0) return model;
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
  if (model->options.canary == 0 || ++model->images < model->options.canary) return 0;
  model->images = 0;
  if (model->gpu != NULL) return test_gpu(model);
  return ed_self_test(ed_cpu_run_image, model->cpu, ed_cpu_name(model->cpu), false);
}

/* From the GPU that has failed to the CPU, for good. 0, or -1 where the GPU was asked for or the CPU cannot start. */
static int move_to_cpu(ed_model *model) {
  if (model->options.unit == ED_GPU) return -1;
  leave_gpu(model);
  return start_cpu(model);
}

int ed_begin(ed_model *model) {
  if (!atomic_exchange(&model->running, true)) return 0;
  return ed_fail("this instance is running an image in another thread");
}

int ed_end(ed_model *model, int status) {
  if (status == 0) status = check_again(model);
  if (status != 0 && model->gpu != NULL && move_to_cpu(model) == 0) return ED_AGAIN;
  atomic_store(&model->running, false);
  return status;
}

static int restore(ed_model *model, int size, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  if (model->gpu != NULL) {
    if (ed_model_gpu->run(model->gpu, rgb_in, rgb_out, layer_ms) == 0) return 0;
    if (move_to_cpu(model) != 0) return -1;
  }
  if (model->cpu == NULL) return ed_fail("the GPU failed, and the CPU cannot start");
  return ed_cpu_run(model->cpu, size, rgb_in, rgb_out, layer_ms);
}

int ed_restore(ed_model *model, int size, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return restore(model, size, rgb_in, rgb_out, NULL);
}

int ed_launch(ed_model *model, FTVMParallelLambda function, void *closure, int tasks) {
  if (model->cpu != NULL) return ed_cpu_launch(model->cpu, function, closure, tasks);
  TVMParallelGroupEnv group = {NULL, tasks};
  for (int task = 0; task < tasks; task++) {
    if (function(task, &group, closure) != 0) return -1;
  }
  return 0;
}

int ed_run_profiled(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  if (model == NULL || rgb_in == NULL || rgb_out == NULL) return ed_fail("NULL is no model and no image");
  if (overlap(rgb_in, rgb_out)) return ed_fail("input and output image overlap");
  if (ed_begin(model) != 0) return -1;
  int status;
  do status = ed_end(model, restore(model, 0, rgb_in, rgb_out, layer_ms));
  while (status == ED_AGAIN);
  return status;
}

int ed_run(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return ed_run_profiled(model, rgb_in, rgb_out, NULL);
}

void ed_destroy(ed_model *model) {
  if (model == NULL) return;
  leave_gpu(model);
  ed_cpu_destroy(model->cpu);
  ed_camera_destroy(model->camera);
  free(model);
}

int ed_threads(const ed_model *model) { return model->cpu != NULL ? ed_cpu_threads(model->cpu) : 1; }
ed_processor ed_unit(const ed_model *model) { return model->gpu != NULL ? ED_GPU : ED_CPU; }
const char *ed_precision(const ed_model *model) {
  return model->gpu != NULL && ed_model_proof.gpu_image != NULL ? "fp16" : "int8";
}
const ed_device *ed_gpu(const ed_model *model) { return model->gpu != NULL ? ed_model_gpu->device(model->gpu) : NULL; }

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
