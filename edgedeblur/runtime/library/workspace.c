/* workspace.c: TVM's workspace calls, served from memory that ed_create has allocated. */
#include "workspace.h"

#include "error.h"
#include "tables.h"

_Thread_local ed_workspace *ed_thread_workspace;

static void *allocate(int device_type, int device_id, uint64_t bytes, int type_code, int bits) {
  (void)device_type, (void)device_id, (void)type_code, (void)bits;
  ed_workspace *space = ed_thread_workspace;
  if (space == NULL) return ed_fail("a kernel asked for workspace outside a run"), NULL;
  const size_t rounded = (bytes + ED_ALIGNMENT - 1) / ED_ALIGNMENT * ED_ALIGNMENT;
  if (space->depth == ED_WORKSPACE_DEPTH || rounded < bytes || rounded > space->bytes - space->top) {
    ed_fail("a kernel asked for %llu bytes of workspace; %zu of %zu are free", (unsigned long long)bytes,
            space->bytes - space->top, space->bytes);
    return NULL;
  }
  space->starts[space->depth++] = space->top;
  uint8_t *block = space->memory + space->top;
  space->top += rounded;
  return block;
}

static int release(int device_type, int device_id, void *block) {
  (void)device_type, (void)device_id;
  ed_workspace *space = ed_thread_workspace;
  if (space == NULL || space->depth == 0 || block != space->memory + space->starts[space->depth - 1]) {
    return ed_fail("a kernel freed workspace out of order");
  }
  space->top = space->starts[--space->depth];
  return 0;
}

/* Kernels call through these pointers, which their object defines weakly as NULL. */
void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;
