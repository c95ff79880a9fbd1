/* instance.c: create, run and destroy: walks the tables of the generated model.c. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "edgedeblur.h"
#include "error.h"
#include "pool.h"
#include "tables.h"

/* The first kernels that this processor can run; where it can run none, the last, which need least of it. */
static const ed_tables *choose(void) {
  static _Atomic(const ed_tables *) chosen; /* the same whichever thread writes it */
  const ed_tables *tables = atomic_load(&chosen);
  for (uint32_t i = 0; tables == NULL; i++) {
    if (i + 1 == ed_model_tables_count || ed_has_isa(ed_model_tables[i].isa)) tables = &ed_model_tables[i];
  }
  atomic_store(&chosen, tables);
  return tables;
}

#define TABLES (*choose())

struct ed_model {
  ed_pool *pool;
  uint8_t *arena;
  DLTensor *tensors;    /* one per operand, in the tables' order */
  TVMFFIAny *arguments; /* arguments[i] points to tensors[i] */
  atomic_bool running;
};

static size_t image_bytes(void) { return (size_t)TABLES.height * (size_t)TABLES.width * 3; }

static void describe_operand(const ed_model *model, uint32_t index) {
  const ed_operand *operand = &TABLES.operands[index];
  DLTensor *tensor = &model->tensors[index];
  tensor->device.device_type = kDLCPU;
  tensor->dtype = (DLDataType){operand->type_code, operand->bits, 1};
  tensor->ndim = operand->dimensions;
  tensor->shape = (int64_t *)&TABLES.shapes[operand->shape]; /* DLPack has no const; kernels only read it */
  if (operand->place == ED_ARENA) tensor->data = model->arena + operand->offset;
  if (operand->place == ED_CONSTANT) tensor->data = (uint8_t *)TABLES.constants + operand->offset;
  model->arguments[index].type_index = kTVMFFIDLTensorPtr;
  model->arguments[index].v_ptr = tensor;
}

static int allocate(ed_model *model) {
  void *arena = NULL; /* one cache line more, so that none is no failure */
  if (posix_memalign(&arena, ED_ALIGNMENT, TABLES.arena_bytes + ED_ALIGNMENT) != 0) arena = NULL;
  model->arena = arena;
  model->tensors = calloc(TABLES.operand_count, sizeof *model->tensors);
  model->arguments = calloc(TABLES.operand_count, sizeof *model->arguments);
  if (model->arena != NULL && model->tensors != NULL && model->arguments != NULL) return 0;
  return ed_fail("no memory for an arena of %zu bytes", TABLES.arena_bytes);
}

static int start(ed_model *model, const ed_options *options) {
  const int threads = options->threads == 0 ? TABLES.threads : options->threads;
  if (threads < 1 || threads > ED_MAX_THREADS) {
    return ed_fail("%d threads; allowed are 1 to %d", options->threads, (int)ED_MAX_THREADS);
  }
  if (allocate(model) != 0) return -1;
  for (uint32_t i = 0; i < TABLES.operand_count; i++) describe_operand(model, i);
  model->pool = ed_pool_create(threads, TABLES.workspace_bytes, options->cores);
  return model->pool != NULL ? 0 : -1;
}

ed_model *ed_create(const ed_options *options) {
  static const ed_options defaults;
  if (ed_check_cpu(TABLES.isa) != 0) return NULL;
  ed_model *model = calloc(1, sizeof *model);
  if (model == NULL) return ed_fail("no memory"), NULL;
  if (start(model, options != NULL ? options : &defaults) != 0) {
    ed_destroy(model);
    return NULL;
  }
  return model;
}

static void set_images(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out) {
  for (uint32_t i = 0; i < TABLES.operand_count; i++) {
    if (TABLES.operands[i].place == ED_INPUT) model->tensors[i].data = (uint8_t *)rgb_in; /* kernels only read it */
    if (TABLES.operands[i].place == ED_OUTPUT) model->tensors[i].data = rgb_out;
  }
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int run_calls(ed_model *model, double *layer_ms) {
  for (uint32_t i = 0; i < TABLES.call_count; i++) {
    const ed_call *call = &TABLES.calls[i];
    const double start_ms = layer_ms != NULL ? milliseconds() : 0.0;
    TVMFFIAny result = {0};
    if (call->kernel(NULL, &model->arguments[call->operand], (int32_t)call->operand_count, &result) != 0) return -1;
    if (layer_ms != NULL) layer_ms[call->layer] += milliseconds() - start_ms;
  }
  return 0;
}

static bool overlap(const uint8_t *rgb_in, const uint8_t *rgb_out) {
  const uintptr_t in = (uintptr_t)rgb_in, out = (uintptr_t)rgb_out;
  return in < out + image_bytes() && out < in + image_bytes();
}

int ed_run_profiled(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  if (model == NULL || rgb_in == NULL || rgb_out == NULL) return ed_fail("NULL is no model and no image");
  if (overlap(rgb_in, rgb_out)) return ed_fail("input and output image overlap");
  if (atomic_exchange(&model->running, true)) return ed_fail("this instance is running an image in another thread");
  set_images(model, rgb_in, rgb_out);
  ed_pool_enter(model->pool);
  const int status = run_calls(model, layer_ms);
  ed_pool_leave();
  atomic_store(&model->running, false);
  return status;
}

int ed_run(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return ed_run_profiled(model, rgb_in, rgb_out, NULL);
}

void ed_destroy(ed_model *model) {
  if (model == NULL) return;
  ed_pool_destroy(model->pool);
  free(model->arguments);
  free(model->tensors);
  free(model->arena);
  free(model);
}

int ed_threads(const ed_model *model) { return ed_pool_threads(model->pool); }

static bool is_layer(int layer) { return layer >= 0 && (uint32_t)layer < TABLES.layer_count; }

const char *ed_name(void) { return TABLES.name; }
const char *ed_version(void) { return TABLES.version; }
const char *ed_isa(void) { return ed_isa_name(TABLES.isa); }
int ed_height(void) { return TABLES.height; }
int ed_width(void) { return TABLES.width; }
size_t ed_arena_bytes(void) { return TABLES.arena_bytes; }
size_t ed_workspace_bytes(void) { return TABLES.workspace_bytes; }
size_t ed_weights_bytes(void) { return TABLES.constants_bytes; }
int ed_layer_count(void) { return (int)TABLES.layer_count; }
const char *ed_layer_name(int layer) { return is_layer(layer) ? TABLES.layers[layer].name : NULL; }
uint64_t ed_layer_macs(int layer) { return is_layer(layer) ? TABLES.layers[layer].macs : 0; }
