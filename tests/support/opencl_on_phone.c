/* opencl_on_phone.c: dlopen and dlsym of a double of Android in which libOpenCL.so is the only library: opencl_double.c's. */
#include <stddef.h>
#include <string.h>

#include "opencl_api.h"

#define X(result, name, parameters) result name parameters;
ED_OPENCL_FUNCTIONS(X)
#undef X

#define X(result, name, parameters) {#name, (void *)name},
static const struct { const char *name; void *address; } functions[] = {ED_OPENCL_FUNCTIONS(X)};
#undef X

void *dlopen(const char *name, int flags) {
  (void)flags;
  return strcmp(name, "libOpenCL.so") == 0 ? (void *)functions : NULL;
}

void *dlsym(void *handle, const char *name) {
  for (size_t i = 0; handle == (void *)functions && i < sizeof functions / sizeof *functions; i++) {
    if (strcmp(functions[i].name, name) == 0) return functions[i].address;
  }
  return NULL;
}

char *dlerror(void) { return "not found"; }
