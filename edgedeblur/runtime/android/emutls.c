/* emutls.c: thread-local variables for Android before API 29, whose loader knows no PT_TLS. The compiler, told
 * -femulated-tls, gives each variable a control block and calls __emutls_get_address for its place in the calling thread;
 * an NDK has this function in its compiler-rt, zig only for a libc that it knows. The block's layout is LLVM's
 * (compiler-rt, builtins/emutls.c). Compiled into the app library where there is no NDK. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  size_t size;
  size_t alignment; /* a power of two */
  uintptr_t index;  /* 0 until a thread has used the variable, then from 1 on */
  const void *initial; /* size bytes; NULL for zeros */
} control;

/* A thread's variables, by index - 1; NULL where it has not used one. */
typedef struct {
  size_t count;
  void *places[];
} thread_variables;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static int has_key;
static uintptr_t last_index;

static void free_variables(void *argument) {
  thread_variables *own = argument;
  for (size_t i = 0; i < own->count; i++) free(own->places[i]);
  free(own);
}

static void make_key(void) {
  if (pthread_key_create(&key, free_variables) != 0) abort();
  has_key = 1;
}

/* After dlclose, a thread that ends must not call free_variables, which is gone. */
__attribute__((destructor)) static void delete_key(void) {
  if (has_key) pthread_key_delete(key);
}

static uintptr_t index_of(control *variable) {
  uintptr_t index = __atomic_load_n(&variable->index, __ATOMIC_ACQUIRE);
  if (index != 0) return index;
  pthread_once(&once, make_key);
  pthread_mutex_lock(&lock);
  index = variable->index;
  if (index == 0) {
    index = ++last_index;
    __atomic_store_n(&variable->index, index, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&lock);
  return index;
}

static thread_variables *variables_with(uintptr_t index) {
  thread_variables *own = pthread_getspecific(key);
  const size_t count = own != NULL ? own->count : 0;
  if (index <= count) return own;
  const size_t wanted = index + 7; /* seven more, so that few grow twice */
  own = realloc(own, sizeof *own + wanted * sizeof own->places[0]);
  if (own == NULL) abort();
  memset(own->places + count, 0, (wanted - count) * sizeof own->places[0]);
  own->count = wanted;
  if (pthread_setspecific(key, own) != 0) abort();
  return own;
}

static void *make(const control *variable) {
  void *place = NULL;
  const size_t alignment = variable->alignment < sizeof(void *) ? sizeof(void *) : variable->alignment;
  if (posix_memalign(&place, alignment, variable->size) != 0) abort();
  if (variable->initial != NULL) memcpy(place, variable->initial, variable->size);
  else memset(place, 0, variable->size);
  return place;
}

/* The calling thread's variable. There is no way to report a failure: without memory the process ends. */
__attribute__((visibility("hidden"))) void *__emutls_get_address(control *variable) {
  const uintptr_t index = index_of(variable);
  thread_variables *own = variables_with(index);
  if (own->places[index - 1] == NULL) own->places[index - 1] = make(variable);
  return own->places[index - 1];
}
