/* probe_kernels.c: kernels with TVM's calling convention that try the runtime. The image's first byte chooses what. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <tvm/ffi/c_api.h>
#include <tvm/runtime/c_backend_api.h>
#include <unistd.h>

enum { EACH_ONCE, TASK_FAILS, TOO_MUCH, NESTED, OUT_OF_ORDER, LEFT_OPEN, OWN_WORKSPACE, TOGETHER, SLOW };
enum { PIXELS = 16 * 16 * 3, WORKSPACE = 4096 };

/* As TVM's objects define them: weak, and NULL until the runtime's own take their place. */
__attribute__((weak)) int (*__TVMBackendParallelLaunch)(FTVMParallelLambda, void *, int);
__attribute__((weak)) void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int);
__attribute__((weak)) int (*__TVMBackendFreeWorkspace)(int, int, void *);

typedef struct {
  int mode;
  uint8_t *out;
  atomic_int arrived;
  atomic_int bad;
} job;

static void *take(uint64_t bytes) { return __TVMBackendAllocWorkspace(1, 0, bytes, 0, 8); }
static int give(void *block) { return __TVMBackendFreeWorkspace(1, 0, block); }

static int raise(const char *text) {
  const char *parts[] = {"probe ", NULL, text};
  TVMFFIErrorSetRaisedFromCStrParts("ValueError", parts, 3);
  return -1;
}

static int add_one(int task, TVMParallelGroupEnv *group, void *closure) {
  job *shared = closure;
  const int chunk = (PIXELS + group->num_task - 1) / group->num_task;
  for (int i = task * chunk; i < (task + 1) * chunk && i < PIXELS; i++) shared->out[i]++;
  return 0;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* True once two tasks are running at the same time; false after five seconds without. */
static int meet(job *shared) {
  atomic_fetch_add(&shared->arrived, 1);
  const double end = seconds() + 5;
  while (atomic_load(&shared->arrived) < 2 && seconds() < end) usleep(100);
  return atomic_load(&shared->arrived) >= 2;
}

static int own_workspace(int task, job *shared) {
  uint8_t *block = take(WORKSPACE);
  if (block == NULL) return -1;
  memset(block, task, WORKSPACE);
  usleep(50);
  for (int i = 0; i < WORKSPACE; i++) {
    if (block[i] != (uint8_t)task) atomic_fetch_add(&shared->bad, 1);
  }
  return give(block);
}

static int out_of_order(void) {
  void *first = take(64), *second = take(64);
  if (first == NULL || second == NULL) return raise("no workspace");
  if (give(first) == 0) return raise("freed out of order");
  return -1; /* with the runtime's message */
}

static int task_main(int task, TVMParallelGroupEnv *group, void *closure) {
  job *shared = closure;
  switch (shared->mode) {
    case TASK_FAILS: return task == group->num_task - 1 ? raise("task failed") : 0;
    case TOO_MUCH: return take(WORKSPACE + 1) == NULL ? -1 : raise("got too much");
    case NESTED: return task == 0 ? __TVMBackendParallelLaunch(add_one, shared, 0) : 0;
    case OUT_OF_ORDER: return out_of_order();
    case LEFT_OPEN: return take(WORKSPACE) != NULL ? raise("left open") : -1;
    case OWN_WORKSPACE: return own_workspace(task, shared);
    case TOGETHER: return meet(shared) ? 0 : raise("ran alone");
    default: return add_one(task, group, closure);
  }
}

int __tvm_ffi_probe(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {
  (void)self, (void)result;
  if (count != 3 || arguments[0].type_index != kTVMFFIDLTensorPtr) return raise("wrong arguments");
  const DLTensor *in = arguments[0].v_ptr, *constant = arguments[1].v_ptr, *out = arguments[2].v_ptr;
  if (((const uint8_t *)constant->data)[2] != 'C' || (uintptr_t)constant->data % 64) return raise("wrong constants");
  if (in->ndim != 2 || in->shape[0] != 16 || in->shape[1] != 48 || in->dtype.bits != 8) return raise("wrong tensor");
  job shared = {.mode = ((const uint8_t *)in->data)[0], .out = out->data};
  memset(shared.out, 0, PIXELS);
  if (shared.mode == SLOW) usleep(500000);
  if (__TVMBackendParallelLaunch(task_main, &shared, shared.mode == TOGETHER ? 2 : 0) != 0) return -1;
  return atomic_load(&shared.bad) == 0 ? 0 : raise("a workspace was shared");
}
