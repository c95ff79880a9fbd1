/* pool.h: an instance's threads, and what TVM's kernels call from them: parallel launch and workspace. */
#ifndef EDGEDEBLUR_POOL_H
#define EDGEDEBLUR_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <tvm/runtime/c_backend_api.h>

enum { ED_MAX_THREADS = 64 };

typedef struct ed_pool ed_pool;

/* Starts threads - 1 workers; the caller of ed_pool_enter is the last one. `cores`: as in ed_options.
 * NULL with an error on failure. */
ed_pool *ed_pool_create(int threads, size_t workspace_bytes, uint64_t cores);

void ed_pool_destroy(ed_pool *pool);

int ed_pool_threads(const ed_pool *pool);

/* Kernels that the calling thread runs between enter and leave use this pool. */
void ed_pool_enter(ed_pool *pool);
void ed_pool_leave(void);

/* Between enter and leave: calls `function` with every task from 0 to tasks - 1, on all threads. 0, or -1 with the error
 * of one that failed. Kernels launch their own loops by it. */
int ed_pool_launch(FTVMParallelLambda function, void *closure, int tasks);

#endif
