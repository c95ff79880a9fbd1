/* cuda_on_cpu.h: what kernels in CUDA use of the language, for a C++ compiler: cuda_double.c runs one work item after the
 * other. A block runs twice where it has a barrier: first every item up to there, then every item whole, which writes
 * the same to shared memory again. */
#include <math.h>
#include <stdint.h>
#include <string.h>

extern "C" {
struct ed_index { int x, y; };
extern struct ed_index ed_block, ed_item; /* of the item that runs */
extern int ed_stop_at_barrier, ed_barriers;
}

#define __global__ __attribute__((visibility("default")))
#define __launch_bounds__(items)
#define __shared__ static
#define alignas(bytes) __attribute__((aligned(bytes)))
#define blockIdx ed_block
#define threadIdx ed_item
#define __syncthreads()          \
  do {                           \
    ed_barriers++;               \
    if (ed_stop_at_barrier) return; \
  } while (0)
struct alignas(16) uint4 { unsigned int x, y, z, w; };

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline int __float2int_rn(float x) { return (int)nearbyintf(x); }

static inline int __dp4a(int a, int b, int sum) {
  int8_t x[4], y[4];
  memcpy(x, &a, 4), memcpy(y, &b, 4);
  unsigned int total = (unsigned int)sum; /* which wraps */
  for (int i = 0; i < 4; i++) total += (unsigned int)(x[i] * y[i]);
  return (int)total;
}
