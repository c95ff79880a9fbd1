/* opencl.c: the network through OpenCL: kernels built from text, weights in device memory, images in mapped buffers. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "gpu_image.h"
#include "gpu_unit.h"
#include "opencl_api.h"
#include "opencl_cache.h"
#include "tables.h"

enum { MOST_PLATFORMS = 8, MOST_DEVICES = 16, LOG_BYTES = 300 };

#define TABLES ed_model_gpu_tables

struct ed_gpu_unit {
  ed_opencl_api cl;
  cl_handle device, context, queue, program;
  cl_handle *buffers; /* as in the tables */
  cl_handle *kernels; /* one for each call, its arguments set for good */
  cl_handle in, out;  /* of the buffers */
  ed_device facts;
};

static int failed(const char *what, cl_status status) { return ed_fail("OpenCL: %s failed with %d", what, (int)status); }

/* The first GPU of all platforms; where `any`, else the first device. */
static int choose_device(ed_gpu_unit *unit, bool any) {
  cl_handle platforms[MOST_PLATFORMS], other = NULL;
  uint32_t platform_count = 0;
  cl_status status = unit->cl.clGetPlatformIDs(MOST_PLATFORMS, platforms, &platform_count);
  if (status != CL_SUCCESS) return failed("clGetPlatformIDs", status);
  for (uint32_t p = 0; p < platform_count && p < MOST_PLATFORMS; p++) {
    cl_handle devices[MOST_DEVICES];
    uint32_t count = 0;
    status = unit->cl.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MOST_DEVICES, devices, &count);
    if (status != CL_SUCCESS) continue; /* a platform without devices */
    for (uint32_t d = 0; d < count && d < MOST_DEVICES; d++) {
      uint64_t type = 0;
      if (unit->cl.clGetDeviceInfo(devices[d], CL_DEVICE_TYPE, sizeof type, &type, NULL) != CL_SUCCESS) continue;
      if (other == NULL) other = devices[d];
      if (!(type & CL_DEVICE_TYPE_GPU)) continue;
      unit->device = devices[d];
      unit->facts.is_gpu = 1;
      return 0;
    }
  }
  if (other == NULL) return ed_fail("OpenCL: there is no device");
  if (!any) return ed_fail("OpenCL: there is no GPU, only a device of another kind, which ED_AUTO does not take");
  unit->device = other;
  return 0;
}

/* Text of the device; cut where it is longer. */
static int read_text(ed_gpu_unit *unit, uint32_t what, const char *name, char *text, size_t bytes) {
  char long_text[1024];
  size_t length = 0;
  const cl_status status = unit->cl.clGetDeviceInfo(unit->device, what, sizeof long_text, long_text, &length);
  if (status != CL_SUCCESS) return failed(name, status);
  snprintf(text, bytes, "%.*s", (int)length, long_text);
  return 0;
}

static int build(ed_gpu_unit *unit, const char *options) {
  const cl_status status = unit->cl.clBuildProgram(unit->program, 1, &unit->device, options, NULL, NULL);
  if (status == CL_SUCCESS) return 0;
  char log[LOG_BYTES] = "";
  unit->cl.clGetProgramBuildInfo(unit->program, unit->device, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
  unit->cl.clReleaseProgram(unit->program);
  unit->program = NULL;
  return ed_fail("OpenCL: clBuildProgram failed with %d %s", (int)status, log);
}

/* From the folder of ed_options.cache_folder, else from text, and then into the folder. */
static int make_program(ed_gpu_unit *unit, const char *folder, const char *options) {
  const char *const described[] = {TABLES.text, options, unit->facts.name, unit->facts.driver};
  char path[ED_CACHE_PATH_BYTES];
  const bool cached = folder != NULL && ed_cache_path(folder, described, 4, path) == 0;
  if (cached) unit->program = ed_cache_load(&unit->cl, unit->context, unit->device, path);
  if (unit->program != NULL && build(unit, options) == 0) return 0;
  cl_status status = CL_SUCCESS;
  const char *text = TABLES.text;
  const size_t bytes = TABLES.text_bytes;
  unit->program = unit->cl.clCreateProgramWithSource(unit->context, 1, &text, &bytes, &status);
  if (unit->program == NULL) return failed("clCreateProgramWithSource", status);
  if (build(unit, options) != 0) return -1;
  if (cached) ed_cache_store(&unit->cl, unit->program, path);
  return 0;
}

/* With the dot-product instruction where OpenCL 3.0 has it; an older compiler, or one that fails, by plain products. */
static int build_program(ed_gpu_unit *unit, const char *folder) {
  char version[64]; /* "OpenCL 3.0 ..." */
  if (read_text(unit, CL_DEVICE_VERSION, "clGetDeviceInfo", version, sizeof version) != 0) return -1;
  const bool new_enough = strncmp(version, "OpenCL ", 7) == 0 && version[7] >= '3';
  if (make_program(unit, folder, new_enough ? "-cl-std=CL3.0" : "") == 0) return 0;
  return make_program(unit, folder, "-DED_PLAIN_DOT");
}

static int create_buffer(ed_gpu_unit *unit, uint32_t index) {
  const ed_gpu_buffer *buffer = &TABLES.buffers[index];
  uint64_t flags = CL_MEM_READ_WRITE;
  void *data = NULL;
  if (buffer->place == ED_CONSTANT) {
    flags = CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR;
    data = (void *)(TABLES.constants + buffer->offset); /* which OpenCL only reads */
  } else if (buffer->place != ED_ARENA) {
    flags |= CL_MEM_ALLOC_HOST_PTR; /* where memory is shared, mapping it copies nothing */
  }
  cl_status status = CL_SUCCESS;
  const cl_handle made = unit->cl.clCreateBuffer(unit->context, flags, buffer->bytes, data, &status);
  if (made == NULL) return failed("clCreateBuffer", status);
  unit->buffers[index] = made;
  unit->facts.bytes += buffer->bytes;
  if (buffer->place == ED_INPUT) unit->in = made;
  if (buffer->place == ED_OUTPUT) unit->out = made;
  return 0;
}

static int create_kernel(ed_gpu_unit *unit, uint32_t index) {
  const ed_gpu_call *call = &TABLES.calls[index];
  cl_status status = CL_SUCCESS;
  unit->kernels[index] = unit->cl.clCreateKernel(unit->program, call->kernel, &status);
  if (unit->kernels[index] == NULL) return failed("clCreateKernel", status);
  for (uint32_t i = 0; i < call->argument_count; i++) {
    const cl_handle *buffer = &unit->buffers[TABLES.arguments[call->argument + i]];
    status = unit->cl.clSetKernelArg(unit->kernels[index], i, sizeof *buffer, buffer);
    if (status != CL_SUCCESS) return failed("clSetKernelArg", status);
  }
  return 0;
}

static int start(ed_gpu_unit *unit, const ed_options *options) {
  if (ed_opencl_load(options->gpu_library, &unit->cl) != 0) return -1;
  if (choose_device(unit, options->unit == ED_GPU) != 0) return -1;
  if (read_text(unit, CL_DEVICE_NAME, "clGetDeviceInfo", unit->facts.name, sizeof unit->facts.name) != 0) return -1;
  if (read_text(unit, CL_DRIVER_VERSION, "clGetDeviceInfo", unit->facts.driver, sizeof unit->facts.driver) != 0) return -1;
  cl_status status = CL_SUCCESS;
  unit->context = unit->cl.clCreateContext(NULL, 1, &unit->device, NULL, NULL, &status);
  if (unit->context == NULL) return failed("clCreateContext", status);
  unit->queue = unit->cl.clCreateCommandQueue(unit->context, unit->device, 0, &status);
  if (unit->queue == NULL) return failed("clCreateCommandQueue", status);
  if (build_program(unit, options->cache_folder) != 0) return -1;
  unit->buffers = calloc(TABLES.buffer_count, sizeof *unit->buffers);
  unit->kernels = calloc(TABLES.call_count, sizeof *unit->kernels);
  if (unit->buffers == NULL || unit->kernels == NULL) return ed_fail("no memory");
  for (uint32_t i = 0; i < TABLES.buffer_count; i++) {
    if (create_buffer(unit, i) != 0) return -1;
  }
  for (uint32_t i = 0; i < TABLES.call_count; i++) {
    if (create_kernel(unit, i) != 0) return -1;
  }
  return 0;
}

static void destroy(ed_gpu_unit *unit) {
  if (unit == NULL) return;
  const ed_opencl_api *cl = &unit->cl;
  if (unit->queue != NULL) cl->clFinish(unit->queue);
  for (uint32_t i = 0; unit->kernels != NULL && i < TABLES.call_count; i++) {
    if (unit->kernels[i] != NULL) cl->clReleaseKernel(unit->kernels[i]);
  }
  for (uint32_t i = 0; unit->buffers != NULL && i < TABLES.buffer_count; i++) {
    if (unit->buffers[i] != NULL) cl->clReleaseMemObject(unit->buffers[i]);
  }
  if (unit->program != NULL) cl->clReleaseProgram(unit->program);
  if (unit->queue != NULL) cl->clReleaseCommandQueue(unit->queue);
  if (unit->context != NULL) cl->clReleaseContext(unit->context);
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

/* One of the images in this process's memory; NULL with an error. */
static uint8_t *map(ed_gpu_unit *unit, cl_handle image, uint64_t access) {
  cl_status status = CL_SUCCESS;
  uint8_t *mapped =
      unit->cl.clEnqueueMapBuffer(unit->queue, image, 1, access, 0, ed_gpu_pixels() * 4, 0, NULL, NULL, &status);
  if (mapped == NULL || status != CL_SUCCESS) return failed("clEnqueueMapBuffer", status), NULL;
  return mapped;
}

static int unmap(ed_gpu_unit *unit, cl_handle image, uint8_t *mapped) {
  const cl_status status = unit->cl.clEnqueueUnmapMemObject(unit->queue, image, mapped, 0, NULL, NULL);
  return status == CL_SUCCESS ? 0 : failed("clEnqueueUnmapMemObject", status);
}

static int write_image(ed_gpu_unit *unit, const uint8_t *rgb) {
  uint8_t *mapped = map(unit, unit->in, CL_MAP_WRITE);
  if (mapped == NULL) return -1;
  ed_gpu_write_words(mapped, rgb);
  return unmap(unit, unit->in, mapped);
}

static int read_image(ed_gpu_unit *unit, uint8_t *rgb) {
  uint8_t *mapped = map(unit, unit->out, CL_MAP_READ);
  if (mapped == NULL) return -1;
  ed_gpu_read_words(rgb, mapped);
  return unmap(unit, unit->out, mapped);
}

static int finish(ed_gpu_unit *unit) {
  const cl_status status = unit->cl.clFinish(unit->queue);
  return status == CL_SUCCESS ? 0 : failed("clFinish", status);
}

static int run_calls(ed_gpu_unit *unit, double *layer_ms) {
  for (uint32_t i = 0; i < TABLES.call_count; i++) {
    const ed_gpu_call *call = &TABLES.calls[i];
    const size_t *n = call->group;
    const size_t items[2] = {call->groups[0] * n[0], call->groups[1] * n[1]};
    const double start_ms = layer_ms != NULL ? ed_gpu_milliseconds() : 0.0;
    const cl_status status =
        unit->cl.clEnqueueNDRangeKernel(unit->queue, unit->kernels[i], 2, NULL, items, n, 0, NULL, NULL);
    if (status != CL_SUCCESS) return failed("clEnqueueNDRangeKernel", status);
    if (layer_ms == NULL) continue;
    if (finish(unit) != 0) return -1;
    layer_ms[call->layer] += ed_gpu_milliseconds() - start_ms;
  }
  return 0;
}

static int run(ed_gpu_unit *unit, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  if (write_image(unit, rgb_in) != 0 || run_calls(unit, layer_ms) != 0 || read_image(unit, rgb_out) != 0) return -1;
  return finish(unit);
}

static const ed_device *device(const ed_gpu_unit *unit) { return &unit->facts; }

const ed_gpu_driver ed_opencl = {create, run, device, destroy};
