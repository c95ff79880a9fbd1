/* cuda_api.c: finds the library of CUDA's driver at run time. */
#include "cuda_api.h"

#include <dlfcn.h>

#include "error.h"

static const char system_library[] = "libcuda.so.1";

int ed_cuda_load(const char *library, ed_cuda_api *api) {
  if (library == NULL) library = system_library;
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return ed_fail("CUDA: %s cannot be loaded: %s", library, dlerror());
#define X(result, name, parameters)                                                   \
  *(void **)&api->name = dlsym(handle, #name);                                        \
  if (api->name == NULL) return ed_fail("CUDA: its library has no function " #name);
  ED_CUDA_FUNCTIONS(X)
#undef X
  return 0;
}
