/* opencl_api.c: finds OpenCL's library at run time. */
#include "opencl_api.h"

#include <dlfcn.h>

#include "error.h"

/* The system's names: Android's vendors, then Linux. An app must name libOpenCL.so in its manifest (docs/gpu.md). */
static const char *const names[] = {
#if defined(__ANDROID__)
    "libOpenCL.so", "/vendor/lib64/libOpenCL.so", "/system/vendor/lib64/libOpenCL.so",
#else
    "libOpenCL.so.1", "libOpenCL.so",
#endif
};

static void *open_library(const char *library) {
  if (library != NULL) return dlopen(library, RTLD_NOW | RTLD_LOCAL);
  void *found = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && found == NULL; i++) found = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return found;
}

int ed_opencl_load(const char *library, ed_opencl_api *api) {
  void *handle = open_library(library);
  if (handle == NULL) return ed_fail("OpenCL: %s cannot be loaded: %s", library != NULL ? library : names[0], dlerror());
#define X(result, name, parameters)                                                     \
  *(void **)&api->name = dlsym(handle, #name);                                          \
  if (api->name == NULL) return ed_fail("OpenCL: its library has no function " #name);
  ED_OPENCL_FUNCTIONS(X)
#undef X
  return 0;
}
