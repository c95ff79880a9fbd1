/* workspace.h: the scratch memory of one thread, a stack of 64-byte aligned blocks. */
#ifndef EDGEDEBLUR_WORKSPACE_H
#define EDGEDEBLUR_WORKSPACE_H

#include <stddef.h>
#include <stdint.h>

enum { ED_WORKSPACE_DEPTH = 16 };

typedef struct {
  uint8_t *memory;
  size_t bytes;
  size_t top;                        /* bytes in use */
  size_t starts[ED_WORKSPACE_DEPTH]; /* where each open block begins */
  int depth;
} ed_workspace;

/* The workspace of the calling thread; NULL outside a run. */
extern _Thread_local ed_workspace *ed_thread_workspace;

#endif
