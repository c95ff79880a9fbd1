/* pool.c: the threads of an instance. A launch is cut into more tasks than there are threads and every thread pulls the
 * next one, so that fast and slow cores (big.LITTLE) end together. */
#define _GNU_SOURCE
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "edgedeblur.h"
#include "error.h"
#include "tables.h"
#include "workspace.h"

enum {
  TASKS_PER_THREAD = 8,
  MAX_TASKS = 128,
  SPINS = 2000, /* before sleeping or yielding: some tens of microseconds, longer than the gap between two layers */
  STACK_BYTES = 256 * 1024, /* musl's default is half of it */
};

typedef struct {
  ed_pool *pool;
  ed_workspace workspace;
  pthread_t thread;
} worker;

struct ed_pool {
  int threads;
  int started;       /* workers[1..started] have a thread; workers[0] is whoever calls ed_pool_enter */
  uint8_t *memory;   /* all workspaces */
  /* The job under way. A thread may read these three while it holds a task of the job. */
  FTVMParallelLambda function;
  void *closure;
  int tasks;
  /* Tasks not yet taken in the low half, the number of the launch in the high half, so that a thread that was asleep
   * for a whole launch cannot take a task of the next one by mistake. */
  _Alignas(ED_ALIGNMENT) atomic_uint_fast64_t tickets;
  _Alignas(ED_ALIGNMENT) atomic_int unfinished;
  _Alignas(ED_ALIGNMENT) atomic_int sleepers;
  atomic_bool stop;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool failed; /* under lock, with its message */
  char error[ED_ERROR_BYTES];
  worker workers[ED_MAX_THREADS];
};

static _Thread_local worker *current;   /* the pool that this thread works for */
static _Thread_local bool inside_task; /* a launch from inside a task runs inline */

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most cores */
#endif
}

static bool has_tasks(ed_pool *pool) { return (uint32_t)atomic_load(&pool->tickets) != 0; }

static void keep_error(ed_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  if (!pool->failed) strcpy(pool->error, ed_last_error());
  pool->failed = true;
  pthread_mutex_unlock(&pool->lock);
}

/* Takes tasks of the present launch until none is left. */
static void work(ed_pool *pool, worker *self) {
  uint_fast64_t ticket = atomic_load(&pool->tickets);
  while ((uint32_t)ticket != 0) {
    if (!atomic_compare_exchange_weak(&pool->tickets, &ticket, ticket - 1)) continue;
    TVMParallelGroupEnv group = {NULL, pool->tasks};
    const size_t top = self->workspace.top;
    const int depth = self->workspace.depth;
    inside_task = true;
    if (pool->function(pool->tasks - (int)(uint32_t)ticket, &group, pool->closure) != 0) keep_error(pool);
    inside_task = false;
    self->workspace.top = top; /* a task that failed may have left blocks open */
    self->workspace.depth = depth;
    atomic_fetch_sub(&pool->unfinished, 1);
    ticket = atomic_load(&pool->tickets);
  }
}

static void sleep_until_tasks(ed_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->sleepers, 1);
  while (!has_tasks(pool) && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->wake, &pool->lock);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument) {
  worker *self = argument;
  ed_pool *pool = self->pool;
  prctl(PR_SET_NAME, "edgedeblur"); /* for profilers and `top -H` */
  current = self;
  ed_thread_workspace = &self->workspace;
  while (!atomic_load(&pool->stop)) {
    work(pool, self);
    for (int spin = 0; spin < SPINS && !has_tasks(pool); spin++) relax();
    if (!has_tasks(pool)) sleep_until_tasks(pool);
  }
  return NULL;
}

static void wake_all(ed_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

static int run_inline(FTVMParallelLambda function, void *closure, int tasks) {
  TVMParallelGroupEnv group = {NULL, tasks};
  for (int task = 0; task < tasks; task++) {
    if (function(task, &group, closure) != 0) return -1;
  }
  return 0;
}

static int task_count(const ed_pool *pool, int wanted) {
  if (wanted > 0) return wanted;
  const int tasks = pool->threads * TASKS_PER_THREAD;
  return tasks < MAX_TASKS ? tasks : MAX_TASKS;
}

int ed_pool_launch(FTVMParallelLambda function, void *closure, int wanted) {
  if (current == NULL || current->pool->threads == 1 || inside_task) {
    return run_inline(function, closure, wanted > 0 ? wanted : 1);
  }
  ed_pool *pool = current->pool;
  pool->function = function;
  pool->closure = closure;
  pool->tasks = task_count(pool, wanted);
  pool->failed = false;
  atomic_store(&pool->unfinished, pool->tasks);
  const uint_fast64_t number = (atomic_load(&pool->tickets) >> 32) + 1;
  atomic_store(&pool->tickets, number << 32 | (uint32_t)pool->tasks);
  if (atomic_load(&pool->sleepers) != 0) wake_all(pool);
  work(pool, current);
  for (int spin = 0; atomic_load(&pool->unfinished) != 0; spin++) {
    if (spin < SPINS) relax();
    else sched_yield();
  }
  return pool->failed ? ed_fail("%s", pool->error) : 0;
}

/* Kernels call through this pointer, which their object defines weakly as NULL. */
int (*__TVMBackendParallelLaunch)(FTVMParallelLambda, void *, int) = ed_pool_launch;

static int start_workers(ed_pool *pool) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  int error = 0;
  for (int i = 1; i < pool->threads && error == 0; i++) {
    error = pthread_create(&pool->workers[i].thread, &attributes, worker_main, &pool->workers[i]);
    if (error == 0) pool->started = i;
  }
  pthread_attr_destroy(&attributes);
  return error == 0 ? 0 : ed_fail("cannot start %d threads: %s", pool->threads, strerror(error));
}

/* Threads inherit the cores of their maker, so the caller moves there for the time of starting them. */
static int start_workers_on(ed_pool *pool, uint64_t cores) {
  cpu_set_t before, allowed;
  CPU_ZERO(&allowed);
  for (size_t core = 0; core < 64; core++) {
    if (cores >> core & 1) CPU_SET(core, &allowed);
  }
  if (sched_getaffinity(0, sizeof before, &before) != 0 || sched_setaffinity(0, sizeof allowed, &allowed) != 0) {
    return ed_fail("cannot use cores 0x%llx: %s", (unsigned long long)cores, strerror(errno));
  }
  const int status = start_workers(pool);
  sched_setaffinity(0, sizeof before, &before);
  return status;
}

static int allocate_workspaces(ed_pool *pool, size_t bytes) {
  const size_t each = (bytes + ED_ALIGNMENT - 1) / ED_ALIGNMENT * ED_ALIGNMENT;
  void *memory = NULL;
  if (each != 0 && posix_memalign(&memory, ED_ALIGNMENT, each * (size_t)pool->threads) != 0) {
    return ed_fail("no memory for %d workspaces of %zu bytes", pool->threads, each);
  }
  pool->memory = memory;
  for (int i = 0; i < pool->threads; i++) {
    pool->workers[i].pool = pool;
    pool->workers[i].workspace.memory = each != 0 ? pool->memory + (size_t)i * each : NULL;
    pool->workers[i].workspace.bytes = each;
  }
  return 0;
}

ed_pool *ed_pool_create(int threads, size_t workspace_bytes, uint64_t cores) {
  void *memory = NULL;
  if (posix_memalign(&memory, ED_ALIGNMENT, sizeof(ed_pool)) != 0) return ed_fail("no memory for threads"), NULL;
  ed_pool *pool = memset(memory, 0, sizeof(ed_pool));
  pool->threads = threads;
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  if (allocate_workspaces(pool, workspace_bytes) != 0 ||
      (cores != 0 ? start_workers_on(pool, cores) : start_workers(pool)) != 0) {
    ed_pool_destroy(pool);
    return NULL;
  }
  return pool;
}

void ed_pool_destroy(ed_pool *pool) {
  if (pool == NULL) return;
  atomic_store(&pool->stop, true);
  wake_all(pool);
  for (int i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool->memory);
  free(pool);
}

int ed_pool_threads(const ed_pool *pool) { return pool->threads; }

void ed_pool_enter(ed_pool *pool) {
  current = &pool->workers[0];
  current->workspace.top = 0;
  current->workspace.depth = 0;
  ed_thread_workspace = &current->workspace;
}

void ed_pool_leave(void) {
  current = NULL;
  ed_thread_workspace = NULL;
}
