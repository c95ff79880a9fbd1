/* opencl_double.c: a library that looks like OpenCL's, whose kernels do nothing. Its output images are those of the file
 * ED_DOUBLE_ANSWER (RGB bytes) in turn, the last one again and again, or zeros; from the read number ED_DOUBLE_WRONG_FROM on it is spoilt. The function that
 * ED_DOUBLE_FAIL names fails, from its call number ED_DOUBLE_AT (counted from 0) on. ED_DOUBLE_DRIVER: its version. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl_api.h"

#define API __attribute__((visibility("default")))

static long number(const char *name) { return getenv(name) != NULL ? atol(getenv(name)) : 0; }

static int fails(const char *function) {
  static int calls;
  const char *chosen = getenv("ED_DOUBLE_FAIL");
  return chosen != NULL && strcmp(chosen, function) == 0 && calls++ >= number("ED_DOUBLE_AT");
}

#define FAILS (fails(__func__) ? -99 : CL_SUCCESS)
#define HANDLE(error) (*(error) = FAILS, *(error) == CL_SUCCESS ? (cl_handle)malloc(1) : NULL)

API cl_status clGetPlatformIDs(uint32_t most, cl_handle *platforms, uint32_t *count) {
  if (most > 0) platforms[0] = (cl_handle)1;
  *count = 1;
  return FAILS;
}

API cl_status clGetDeviceIDs(cl_handle platform, uint64_t type, uint32_t most, cl_handle *devices, uint32_t *count) {
  (void)platform, (void)type;
  if (most > 0) devices[0] = (cl_handle)1;
  *count = 1;
  return FAILS;
}

API cl_status clGetDeviceInfo(cl_handle device, uint32_t what, size_t size, void *value, size_t *length) {
  (void)device;
  const uint64_t gpu = CL_DEVICE_TYPE_GPU;
  const char *driver = getenv("ED_DOUBLE_DRIVER") != NULL ? getenv("ED_DOUBLE_DRIVER") : "1.0";
  const char *text = what == CL_DEVICE_VERSION ? "OpenCL 2.0" : what == CL_DEVICE_NAME ? "a double" : driver;
  const size_t bytes = what == CL_DEVICE_TYPE ? sizeof gpu : strlen(text) + 1;
  if (bytes > size) return -30;
  memcpy(value, what == CL_DEVICE_TYPE ? (const void *)&gpu : text, bytes);
  if (length != NULL) *length = bytes;
  return FAILS;
}

API cl_handle clCreateContext(const intptr_t *properties, uint32_t count, const cl_handle *devices, void *notify,
                              void *data, cl_status *error) {
  (void)properties, (void)count, (void)devices, (void)notify, (void)data;
  return HANDLE(error);
}

API cl_handle clCreateCommandQueue(cl_handle context, cl_handle device, uint64_t properties, cl_status *error) {
  (void)context, (void)device, (void)properties;
  return HANDLE(error);
}

API cl_handle clCreateProgramWithSource(cl_handle context, uint32_t count, const char **texts, const size_t *lengths,
                                        cl_status *error) {
  (void)context, (void)count, (void)texts, (void)lengths;
  return HANDLE(error);
}

/* A binary of the double's is "built". */
API cl_handle clCreateProgramWithBinary(cl_handle context, uint32_t count, const cl_handle *devices,
                                        const size_t *lengths, const uint8_t **binaries, cl_status *of_binary,
                                        cl_status *error) {
  (void)context, (void)count, (void)devices;
  *of_binary = lengths[0] == 5 && memcmp(binaries[0], "built", 5) == 0 ? CL_SUCCESS : -42;
  return HANDLE(error);
}

API cl_status clGetProgramInfo(cl_handle program, uint32_t what, size_t size, void *value, size_t *length) {
  (void)program, (void)size, (void)length;
  const size_t bytes = 5;
  if (what == 0x1165) memcpy(value, &bytes, sizeof bytes);
  if (what == 0x1166) memcpy(*(char **)value, "built", bytes);
  return FAILS;
}

API cl_status clBuildProgram(cl_handle program, uint32_t count, const cl_handle *devices, const char *options,
                             void *notify, void *data) {
  (void)program, (void)count, (void)devices, (void)options, (void)notify, (void)data;
  return FAILS;
}

API cl_status clGetProgramBuildInfo(cl_handle program, cl_handle device, uint32_t what, size_t size, void *value,
                                    size_t *length) {
  (void)program, (void)device, (void)what, (void)length;
  if (size > 0) snprintf(value, size, "the double's log");
  return CL_SUCCESS;
}

API cl_handle clCreateKernel(cl_handle program, const char *name, cl_status *error) {
  (void)program, (void)name;
  return HANDLE(error);
}

API cl_handle clCreateBuffer(cl_handle context, uint64_t flags, size_t bytes, void *data, cl_status *error) {
  (void)context, (void)flags, (void)data;
  *error = FAILS;
  return *error == CL_SUCCESS ? calloc(1, bytes) : NULL;
}

API cl_status clSetKernelArg(cl_handle kernel, uint32_t index, size_t size, const void *value) {
  (void)kernel, (void)index, (void)size, (void)value;
  return FAILS;
}

API cl_status clEnqueueNDRangeKernel(cl_handle queue, cl_handle kernel, uint32_t dimensions, const size_t *offset,
                                     const size_t *items, const size_t *group, uint32_t count, const cl_handle *events,
                                     cl_handle *event) {
  (void)queue, (void)kernel, (void)dimensions, (void)offset, (void)items, (void)group, (void)count, (void)events,
      (void)event;
  return FAILS;
}

/* RGB to red, green, blue, unused; nothing where there is no file. */
static void answer(uint8_t *image, size_t bytes) {
  static long reads, answers;
  FILE *file = getenv("ED_DOUBLE_ANSWER") != NULL ? fopen(getenv("ED_DOUBLE_ANSWER"), "rb") : NULL;
  const long each = (long)(bytes / 4 * 3), at = answers++ * each;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) fseek(file, at < ftell(file) ? at : -each, at < ftell(file) ? SEEK_SET : SEEK_END);
  for (size_t i = 0; file != NULL && i < bytes; i += 4) {
    if (fread(image + i, 1, 3, file) != 3) break;
  }
  if (file != NULL) fclose(file);
  if (getenv("ED_DOUBLE_WRONG_FROM") != NULL && reads++ >= number("ED_DOUBLE_WRONG_FROM")) image[0] ^= 1;
}

API void *clEnqueueMapBuffer(cl_handle queue, cl_handle buffer, uint32_t blocking, uint64_t access, size_t offset,
                             size_t bytes, uint32_t count, const cl_handle *events, cl_handle *event, cl_status *error) {
  (void)queue, (void)blocking, (void)offset, (void)count, (void)events, (void)event;
  *error = FAILS;
  if (*error != CL_SUCCESS) return NULL;
  if (access == CL_MAP_READ) answer(buffer, bytes);
  return buffer;
}

API cl_status clEnqueueUnmapMemObject(cl_handle queue, cl_handle buffer, void *mapped, uint32_t count,
                                      const cl_handle *events, cl_handle *event) {
  (void)queue, (void)buffer, (void)mapped, (void)count, (void)events, (void)event;
  return FAILS;
}

API cl_status clFinish(cl_handle queue) { return (void)queue, FAILS; }
API cl_status clReleaseKernel(cl_handle kernel) { return free(kernel), FAILS; }
API cl_status clReleaseProgram(cl_handle program) { return free(program), FAILS; }
API cl_status clReleaseMemObject(cl_handle buffer) { return free(buffer), FAILS; }
API cl_status clReleaseCommandQueue(cl_handle queue) { return free(queue), FAILS; }
API cl_status clReleaseContext(cl_handle context) { return free(context), FAILS; }
