/* cuda_double.c: a library that looks like CUDA's driver. Its GPU is this processor, and its kernels are an artefact's
 * kernels.cu, compiled into it with cuda_on_cpu.h: the restorations are right. The PTX that it is given is only searched
 * for the kernels' names. The function that ED_DOUBLE_FAIL names fails, from its call number ED_DOUBLE_AT (counted from 0)
 * on; from the image number ED_DOUBLE_WRONG_FROM on, what is read is spoilt; ED_DOUBLE_CAPABILITY: of the GPU, times ten.
 * Calls that need a context fail where none is current. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_api.h"

#define API __attribute__((visibility("default")))
#define MOST_ARGUMENTS 10

struct ed_index { int x, y; } ed_block, ed_item;
int ed_stop_at_barrier, ed_barriers;

static const char *ptx;
static int depth; /* of contexts that are current */

static long number(const char *name, long otherwise) { return getenv(name) != NULL ? atol(getenv(name)) : otherwise; }

static cu_status status(const char *function) {
  static int calls;
  const char *chosen = getenv("ED_DOUBLE_FAIL");
  return chosen != NULL && strcmp(chosen, function) == 0 && calls++ >= number("ED_DOUBLE_AT", 0) ? 999 : CUDA_SUCCESS;
}

#define STATUS status(__func__)
#define IN_CONTEXT (depth > 0 ? STATUS : 201)

API cu_status cuInit(cu_uint flags) { return (void)flags, STATUS; }
API cu_status cuDriverGetVersion(int *version) { return *version = 12040, STATUS; }
API cu_status cuDeviceGetCount(int *count) { return *count = 1, STATUS; }
API cu_status cuDeviceGet(cu_device *device, int index) { return *device = index + 7, STATUS; }

API cu_status cuGetErrorName(cu_status error, const char **name) {
  *name = error == 201 ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR_UNKNOWN";
  return CUDA_SUCCESS;
}

API cu_status cuDeviceGetName(char *name, int bytes, cu_device device) {
  return snprintf(name, (size_t)bytes, "a double"), device == 7 ? STATUS : 101;
}

API cu_status cuDeviceGetAttribute(int *value, int attribute, cu_device device) {
  const long capability = number("ED_DOUBLE_CAPABILITY", 75);
  *value = (int)(attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? capability / 10 : capability % 10);
  return device == 7 ? STATUS : 101;
}

API cu_status cuDevicePrimaryCtxRetain(cu_handle *context, cu_device device) {
  return *context = malloc(1), device == 7 ? STATUS : 101;
}

API cu_status cuDevicePrimaryCtxRelease_v2(cu_device device) { return device == 7 ? STATUS : 101; }

API cu_status cuCtxPushCurrent_v2(cu_handle context) {
  const cu_status made = STATUS;
  if (made == CUDA_SUCCESS) depth += context != NULL;
  return made;
}

API cu_status cuCtxPopCurrent_v2(cu_handle *context) { return *context = NULL, depth--, STATUS; }

API cu_status cuModuleLoadDataEx(cu_handle *module, const void *image, cu_uint count, int *options, void **values) {
  (void)count, (void)options;
  ptx = image;
  snprintf(values[0], (size_t)values[1], "the double's log");
  if (strstr(ptx, "\n.target sm_75\n") == NULL) return 218;
  return *module = malloc(1), IN_CONTEXT;
}

API cu_status cuModuleUnload(cu_handle module) { return free(module), IN_CONTEXT; }

typedef struct {
  void *code;
  int count; /* of its arguments, by the PTX */
} function;

API cu_status cuModuleGetFunction(cu_handle *found, cu_handle module, const char *name) {
  char entry[200];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  const char *head = strstr(ptx, entry);
  Dl_info here;
  function *made = calloc(1, sizeof *made);
  if (head == NULL || dladdr((void *)cuModuleGetFunction, &here) == 0) return 500;
  for (const char *end = strchr(head, ')'), *at = head; (at = strstr(at + 1, ".param")) != NULL && at < end;) made->count++;
  made->code = dlsym(dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD), name);
  *found = made;
  return module == NULL || made->code == NULL || made->count > MOST_ARGUMENTS ? 500 : IN_CONTEXT;
}

API cu_status cuMemAlloc_v2(cu_memory *memory, size_t bytes) {
  *memory = (cu_memory)(uintptr_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset((void *)(uintptr_t)*memory, 0xA5, bytes); /* nothing may rely on cleared memory */
  return IN_CONTEXT;
}

API cu_status cuMemFree_v2(cu_memory memory) { return free((void *)(uintptr_t)memory), IN_CONTEXT; }
API cu_status cuMemAllocHost_v2(void **memory, size_t bytes) { return *memory = malloc(bytes), IN_CONTEXT; }
API cu_status cuMemFreeHost(void *memory) { return free(memory), IN_CONTEXT; }

API cu_status cuMemcpyHtoD_v2(cu_memory to, const void *from, size_t bytes) {
  return memcpy((void *)(uintptr_t)to, from, bytes), IN_CONTEXT;
}

API cu_status cuMemcpyHtoDAsync_v2(cu_memory to, const void *from, size_t bytes, cu_handle stream) {
  return (void)stream, memcpy((void *)(uintptr_t)to, from, bytes), IN_CONTEXT;
}

API cu_status cuMemcpyDtoHAsync_v2(void *to, cu_memory from, size_t bytes, cu_handle stream) {
  static long reads;
  (void)stream;
  memcpy(to, (void *)(uintptr_t)from, bytes);
  if (reads++ >= number("ED_DOUBLE_WRONG_FROM", 1000)) ((uint8_t *)to)[0] ^= 1;
  return IN_CONTEXT;
}

API cu_status cuStreamCreate(cu_handle *stream, cu_uint flags) { return (void)flags, *stream = malloc(1), IN_CONTEXT; }
API cu_status cuStreamDestroy_v2(cu_handle stream) { return free(stream), IN_CONTEXT; }
API cu_status cuStreamSynchronize(cu_handle stream) { return (void)stream, IN_CONTEXT; }

static void run_block(const function *function, void **arguments, int width, int height) {
  void (*kernel)(void *, void *, void *, void *, void *, void *, void *, void *, void *, void *) = function->code;
  void *a[MOST_ARGUMENTS] = {NULL}; /* those behind the kernel's own are passed and not read */
  for (int i = 0; i < function->count; i++) a[i] = *(void **)arguments[i];
  for (ed_item.y = 0; ed_item.y < height; ed_item.y++) {
    for (ed_item.x = 0; ed_item.x < width; ed_item.x++) kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
  }
}

API cu_status cuLaunchKernel(cu_handle function, cu_uint groups_x, cu_uint groups_y, cu_uint groups_z, cu_uint width,
                             cu_uint height, cu_uint depth_, cu_uint shared, cu_handle stream, void **arguments,
                             void **extra) {
  (void)stream;
  if (groups_z != 1 || depth_ != 1 || shared != 0 || extra != NULL || groups_y > 65535) return 1;
  for (ed_block.y = 0; ed_block.y < (int)groups_y; ed_block.y++) {
    for (ed_block.x = 0; ed_block.x < (int)groups_x; ed_block.x++) {
      ed_barriers = 0, ed_stop_at_barrier = 1;
      run_block(function, arguments, (int)width, (int)height);
      ed_stop_at_barrier = 0;
      if (ed_barriers > 0) run_block(function, arguments, (int)width, (int)height);
    }
  }
  return IN_CONTEXT;
}
