/* cuda.c: the network through CUDA's driver: kernels as PTX, weights in device memory, images through pinned memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_api.h"
#include "error.h"
#include "gpu_image.h"
#include "gpu_unit.h"
#include "tables.h"

enum { LOG_BYTES = 300, OLDEST = 75 }; /* compute capability that the PTX is for, times ten */

#define TABLES ed_model_gpu_tables

struct ed_gpu_unit {
  ed_cuda_api cu;
  cu_device device;
  cu_handle context, module, stream;
  cu_memory *buffers; /* as in the tables */
  cu_handle *kernels; /* one for each call */
  void **arguments;   /* as in the tables: addresses of buffers' addresses */
  cu_memory in, out;  /* of the buffers */
  uint8_t *in_words, *out_words; /* images in this process's memory, which the device copies by itself */
  ed_device facts;
};

/* 0, or -1 with an error that names the function and the driver's word for what happened. */
static int check(const ed_gpu_unit *unit, const char *function, cu_status status) {
  if (status == CUDA_SUCCESS) return 0;
  const char *word = NULL;
  if (unit->cu.cuGetErrorName(status, &word) != CUDA_SUCCESS || word == NULL) word = "which it does not explain";
  return ed_fail("CUDA: %s failed with %d, %s", function, status, word);
}

#define CALL(function, ...) check(unit, #function, unit->cu.function(__VA_ARGS__))

/* Major version times ten and the minor one; -1 with an error. */
static int capability(ed_gpu_unit *unit, cu_device device) {
  int major = 0, minor = 0;
  if (CALL(cuDeviceGetAttribute, &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device) != 0) return -1;
  if (CALL(cuDeviceGetAttribute, &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device) != 0) return -1;
  return 10 * major + minor;
}

/* The first device that runs the kernels. */
static int choose_device(ed_gpu_unit *unit) {
  int count = 0, version = 0;
  if (CALL(cuInit, 0) != 0 || CALL(cuDriverGetVersion, &version) != 0 || CALL(cuDeviceGetCount, &count) != 0) return -1;
  for (int i = 0; i < count; i++) {
    cu_device device = 0;
    if (CALL(cuDeviceGet, &device, i) != 0) return -1;
    const int found = capability(unit, device);
    if (found < 0) return -1;
    if (found < OLDEST) continue;
    unit->device = device;
    unit->facts.is_gpu = 1;
    const int minor = version % 1000 / 10;
    snprintf(unit->facts.driver, sizeof unit->facts.driver, "CUDA %d.%d, sm_%d", version / 1000, minor, found);
    return CALL(cuDeviceGetName, unit->facts.name, (int)sizeof unit->facts.name, device);
  }
  return ed_fail("CUDA: there is no GPU of compute capability 7.5 or later among %d", count);
}

static int load_module(ed_gpu_unit *unit) {
  char log[LOG_BYTES] = "";
  int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  const cu_status status = unit->cu.cuModuleLoadDataEx(&unit->module, TABLES.text, 2, options, values);
  if (status == CUDA_SUCCESS) return 0;
  unit->module = NULL;
  return ed_fail("CUDA: cuModuleLoadDataEx failed with %d %s", status, log);
}

static int create_buffer(ed_gpu_unit *unit, uint32_t index) {
  const ed_gpu_buffer *buffer = &TABLES.buffers[index];
  cu_memory *made = &unit->buffers[index];
  if (CALL(cuMemAlloc_v2, made, buffer->bytes) != 0) return *made = 0, -1;
  unit->facts.bytes += buffer->bytes;
  if (buffer->place == ED_INPUT) unit->in = *made;
  if (buffer->place == ED_OUTPUT) unit->out = *made;
  if (buffer->place != ED_CONSTANT) return 0;
  return CALL(cuMemcpyHtoD_v2, *made, TABLES.constants + buffer->offset, buffer->bytes);
}

static int create_kernel(ed_gpu_unit *unit, uint32_t index) {
  const ed_gpu_call *call = &TABLES.calls[index];
  for (uint32_t i = call->argument; i < call->argument + call->argument_count; i++) {
    unit->arguments[i] = &unit->buffers[TABLES.arguments[i]];
  }
  return CALL(cuModuleGetFunction, &unit->kernels[index], unit->module, call->kernel);
}

static size_t argument_count(void) {
  const ed_gpu_call *last = &TABLES.calls[TABLES.call_count - 1];
  return (size_t)last->argument + last->argument_count;
}

/* With the device's context current in this thread. */
static int fill_context(ed_gpu_unit *unit) {
  const size_t image = ed_gpu_pixels() * 4;
  if (load_module(unit) != 0) return -1;
  if (CALL(cuStreamCreate, &unit->stream, CU_STREAM_NON_BLOCKING) != 0) return unit->stream = NULL, -1;
  if (CALL(cuMemAllocHost_v2, (void **)&unit->in_words, image) != 0) return unit->in_words = NULL, -1;
  if (CALL(cuMemAllocHost_v2, (void **)&unit->out_words, image) != 0) return unit->out_words = NULL, -1;
  for (uint32_t i = 0; i < TABLES.buffer_count; i++) {
    if (create_buffer(unit, i) != 0) return -1;
  }
  for (uint32_t i = 0; i < TABLES.call_count; i++) {
    if (create_kernel(unit, i) != 0) return -1;
  }
  return 0;
}

static int enter(ed_gpu_unit *unit) { return CALL(cuCtxPushCurrent_v2, unit->context); }

/* What was current before is again. */
static void leave(ed_gpu_unit *unit) {
  cu_handle left = NULL;
  unit->cu.cuCtxPopCurrent_v2(&left);
}

/* The primary context is the one that others in this process use too, torch for one. */
static int start(ed_gpu_unit *unit, const ed_options *options) {
  unit->buffers = calloc(TABLES.buffer_count, sizeof *unit->buffers);
  unit->kernels = calloc(TABLES.call_count, sizeof *unit->kernels);
  unit->arguments = calloc(argument_count(), sizeof *unit->arguments);
  if (unit->buffers == NULL || unit->kernels == NULL || unit->arguments == NULL) return ed_fail("no memory");
  if (ed_cuda_load(options->gpu_library, &unit->cu) != 0 || choose_device(unit) != 0) return -1;
  if (CALL(cuDevicePrimaryCtxRetain, &unit->context, unit->device) != 0) return unit->context = NULL, -1;
  if (enter(unit) != 0) return -1;
  const int status = fill_context(unit);
  leave(unit);
  return status;
}

/* All that lies in the device's context. */
static void empty_context(ed_gpu_unit *unit) {
  const ed_cuda_api *cu = &unit->cu;
  if (unit->stream != NULL) cu->cuStreamSynchronize(unit->stream);
  for (uint32_t i = 0; i < TABLES.buffer_count; i++) {
    if (unit->buffers[i] != 0) cu->cuMemFree_v2(unit->buffers[i]);
  }
  if (unit->in_words != NULL) cu->cuMemFreeHost(unit->in_words);
  if (unit->out_words != NULL) cu->cuMemFreeHost(unit->out_words);
  if (unit->stream != NULL) cu->cuStreamDestroy_v2(unit->stream);
  if (unit->module != NULL) cu->cuModuleUnload(unit->module);
}

static void destroy(ed_gpu_unit *unit) {
  if (unit == NULL) return;
  if (unit->context != NULL) {
    if (unit->cu.cuCtxPushCurrent_v2(unit->context) == CUDA_SUCCESS) {
      empty_context(unit);
      leave(unit);
    }
    unit->cu.cuDevicePrimaryCtxRelease_v2(unit->device);
  }
  free(unit->arguments);
  free(unit->kernels);
  free(unit->buffers);
  free(unit);
}

static ed_gpu_unit *create(const ed_options *options) {
  ed_gpu_unit *unit = calloc(1, sizeof *unit);
  if (unit == NULL) return ed_fail("no memory"), NULL;
  if (start(unit, options) == 0) return unit;
  destroy(unit);
  return NULL;
}

static int finish(ed_gpu_unit *unit) { return CALL(cuStreamSynchronize, unit->stream); }

static int run_calls(ed_gpu_unit *unit, double *layer_ms) {
  for (uint32_t i = 0; i < TABLES.call_count; i++) {
    const ed_gpu_call *call = &TABLES.calls[i];
    const cu_uint groups[2] = {(cu_uint)call->groups[0], (cu_uint)call->groups[1]};
    const cu_uint group[2] = {(cu_uint)call->group[0], (cu_uint)call->group[1]};
    const double start_ms = layer_ms != NULL ? ed_gpu_milliseconds() : 0.0;
    if (CALL(cuLaunchKernel, unit->kernels[i], groups[0], groups[1], 1, group[0], group[1], 1, 0, unit->stream,
             unit->arguments + call->argument, NULL) != 0) {
      return -1;
    }
    if (layer_ms == NULL) continue;
    if (finish(unit) != 0) return -1;
    layer_ms[call->layer] += ed_gpu_milliseconds() - start_ms;
  }
  return 0;
}

static int run_here(ed_gpu_unit *unit, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  const size_t bytes = ed_gpu_pixels() * 4;
  ed_gpu_write_words(unit->in_words, rgb_in);
  if (CALL(cuMemcpyHtoDAsync_v2, unit->in, unit->in_words, bytes, unit->stream) != 0) return -1;
  if (run_calls(unit, layer_ms) != 0) return -1;
  if (CALL(cuMemcpyDtoHAsync_v2, unit->out_words, unit->out, bytes, unit->stream) != 0 || finish(unit) != 0) return -1;
  ed_gpu_read_words(rgb_out, unit->out_words);
  return 0;
}

static int run(ed_gpu_unit *unit, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  if (enter(unit) != 0) return -1;
  const int status = run_here(unit, rgb_in, rgb_out, layer_ms);
  leave(unit);
  return status;
}

static const ed_device *device(const ed_gpu_unit *unit) { return &unit->facts; }

const ed_gpu_driver ed_cuda = {create, run, device, destroy};
