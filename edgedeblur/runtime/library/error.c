/* error.c: messages of failures, per thread, from the runtime and from TVM's kernels. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <tvm/ffi/c_api.h>

#include "edgedeblur.h"

static _Thread_local char last_error[ED_ERROR_BYTES];

int ed_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return -1;
}

const char *ed_last_error(void) { return last_error; }

/* What a compiled kernel calls before it returns -1: wrong arguments, or no workspace. exports.map hides it. */
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  size_t used = (size_t)snprintf(last_error, sizeof last_error, "%s: ", kind);
  for (int32_t i = 0; i < count && used < sizeof last_error; i++) {
    if (parts[i] != NULL) used += (size_t)snprintf(last_error + used, sizeof last_error - used, "%s", parts[i]);
  }
}
