/* probe.c: what this machine's cores do, for the estimate: clock, cache and memory bandwidth, mispredictions, the way of
 * a cache line from core to core, and the rate of its dot product. Prints one JSON object.
 * Arguments: bytes that lie in the second-level cache, in the third-level cache, in memory. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REPEATS = 9, TRIPS_FIRST = 4, TRIPS_LAST = 1024 };

static volatile uint64_t sink;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The shortest of some runs: whatever else the machine does only adds time. */
static double shortest(void (*run)(void *), void *argument) {
  double best = 1e9;
  for (int repeat = 0; repeat < REPEATS; repeat++) {
    const double start = seconds();
    run(argument);
    const double elapsed = seconds() - start;
    if (elapsed < best) best = elapsed;
  }
  return best;
}

enum { ADDITIONS = 4000000 };

/* Each addition waits for the one before: one a cycle on every core that there are kernels for. */
static void dependent_additions(void *unused) {
  (void)unused;
  uint64_t x = 1, y = 3;
  for (int i = 0; i < ADDITIONS / 8; i++) {
#if defined(__x86_64__)
    __asm__ volatile("add %1,%0\nadd %1,%0\nadd %1,%0\nadd %1,%0\nadd %1,%0\nadd %1,%0\nadd %1,%0\nadd %1,%0"
                     : "+r"(x) : "r"(y));
#else
    __asm__ volatile("add %0,%0,%1\nadd %0,%0,%1\nadd %0,%0,%1\nadd %0,%0,%1\n"
                     "add %0,%0,%1\nadd %0,%0,%1\nadd %0,%0,%1\nadd %0,%0,%1" : "+r"(x) : "r"(y));
#endif
  }
  sink = x;
}

enum { DOTS = 4000000 };

/* Twelve independent chains of the dot product: its rate, not its latency. With VNNI every third one takes
 * activations of its own, broadcast from memory, as the kernels' do. */
static void dot_products(void *unused) {
  (void)unused;
  static const int32_t activations[4] = {1, 2, 3, 4};
  for (int i = 0; i < DOTS / 12; i++) {
#if defined(__AVX512VNNI__)
#define DOT(n) "vpdpbusd %%zmm30,%%zmm31,%%zmm" #n "\n"
#define NEXT "vpbroadcastd (%0),%%zmm31\n"
#elif defined(__AVXVNNI__)
#define DOT(n) "%{vex%} vpdpbusd %%ymm14,%%ymm15,%%ymm" #n "\n"
#define NEXT "vpbroadcastd (%0),%%ymm15\n"
#elif defined(__AVX2__)
#define DOT(n) "vpmaddwd %%ymm14,%%ymm15,%%ymm" #n "\n"
#define NEXT ""
#elif defined(__ARM_FEATURE_DOTPROD)
#define DOT(n) "sdot v" #n ".4s, v30.16b, v31.4b[0]\n"
#define NEXT ""
#else
#define DOT(n) ""
#define NEXT ""
#endif
    __asm__ volatile(NEXT DOT(0) DOT(1) DOT(2) NEXT DOT(3) DOT(4) DOT(5) NEXT DOT(6) DOT(7) DOT(8) NEXT DOT(9) DOT(10)
                     DOT(11) : : "r"(activations) : "memory");
  }
}

typedef struct {
  const uint8_t *bytes;
  size_t count; /* a multiple of 128 */
  int passes;
} area;

/* Vector loads one after another, as the kernels read. */
static void read_area(void *argument) {
  const area *a = argument;
  for (int pass = 0; pass < a->passes; pass++) {
    for (const uint8_t *at = a->bytes; at < a->bytes + a->count; at += 128) {
#if defined(__AVX2__)
      __asm__ volatile("vmovdqu (%0),%%ymm0\nvmovdqu 32(%0),%%ymm1\nvmovdqu 64(%0),%%ymm2\nvmovdqu 96(%0),%%ymm3"
                       : : "r"(at) : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
#else
      __asm__ volatile("ldp q0,q1,[%0]\nldp q2,q3,[%0,#32]\nldp q4,q5,[%0,#64]\nldp q6,q7,[%0,#96]"
                       : : "r"(at) : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "memory");
#endif
    }
  }
}

static double bytes_per_second(const char *text) {
  const size_t count = strtoull(text, NULL, 10) / 128 * 128;
  uint8_t *bytes = malloc(count);
  if (count == 0 || bytes == NULL) return 0;
  memset(bytes, 1, count);
  area a = {bytes, count, (int)(1 + (32u << 20) / count)};
  const double elapsed = shortest(read_area, &a);
  free(bytes);
  return (double)count * a.passes / elapsed;
}

enum { COINS = 1 << 20 };
static uint8_t coins[COINS];

static void branches(void *unused) {
  (void)unused;
  uint64_t heads = 0, tails = 0;
  for (int i = 0; i < COINS; i++) {
    if (coins[i]) {
      heads++;
      __asm__ volatile("" : "+r"(heads)); /* keeps it a branch */
    } else {
      tails++;
      __asm__ volatile("" : "+r"(tails));
    }
  }
  sink = heads - tails;
}

static double seconds_per_misprediction(void) {
  memset(coins, 1, sizeof coins);
  const double sure = shortest(branches, NULL);
  uint64_t state = 88172645463325252u;
  for (int i = 0; i < COINS; i++) { /* xorshift64 (Marsaglia, 2003) */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    coins[i] = state >> 40 & 1;
  }
  return (shortest(branches, NULL) - sure) / (COINS / 2.0); /* every other guess is wrong */
}

enum { LOOP_ENDS = 20000 };

static void nested_loops(void *argument) {
  const int trips = *(const int *)argument;
  uint64_t x = 0;
  for (int end = 0; end < LOOP_ENDS; end++) {
    for (int i = 0; i < trips; i++) __asm__ volatile("" : "+r"(x));
  }
  sink = x;
}

/* The most rounds of a loop whose end the processor foresees. */
static int foreseen_trips(double misprediction) {
  int foreseen = 0;
  for (int trips = TRIPS_FIRST; trips <= TRIPS_LAST; trips *= 2) {
    int longer = trips * 2;
    const double one = shortest(nested_loops, &trips), two = shortest(nested_loops, &longer);
    const double end = (2 * one - two) / LOOP_ENDS; /* what is left with the rounds taken out */
    if (end > misprediction / 2) break;
    foreseen = trips;
  }
  return foreseen;
}

enum { HANDOFFS = 20000, HANDOFFS_PER_LOOK = 64, ENDED = -1 };
#define LONGEST_S 1.0 /* of a trial: where other work has the other core, every handoff waits for the scheduler */
#define SLOWEST_S 1e-5 /* what takes longer is the scheduler's time, not the caches' */
static atomic_int turn;

static void *other_core(void *unused) {
  (void)unused;
  for (int mine = 1;; mine += 2) {
    for (int now = atomic_load(&turn); now != mine; now = atomic_load(&turn)) {
      if (now == ENDED) return NULL;
    }
    atomic_store(&turn, mine + 1);
  }
}

/* There and back counts twice; 0 without another thread, and where other work never let both run. */
static double seconds_per_handoff(void) {
  double best = 1e9;
  for (int repeat = 0; repeat < REPEATS; repeat++) {
    pthread_t thread;
    int done = 0;
    double elapsed = 0;
    atomic_store(&turn, 0);
    if (pthread_create(&thread, NULL, other_core, NULL) != 0) return 0;
    const double start = seconds();
    while (done < HANDOFFS && elapsed < LONGEST_S) {
      for (const int look = done + HANDOFFS_PER_LOOK; done < look; done++) {
        atomic_store(&turn, 2 * done + 1);
        while (atomic_load(&turn) != 2 * done + 2) {}
      }
      elapsed = seconds() - start;
    }
    atomic_store(&turn, ENDED);
    pthread_join(thread, NULL);
    if (elapsed / (2.0 * done) < best) best = elapsed / (2.0 * done);
  }
  return best < SLOWEST_S ? best : 0;
}

int main(int count, char **words) {
  if (count != 4) return fputs("probe L2-BYTES L3-BYTES MEMORY-BYTES\n", stderr), 2;
  const double clock = ADDITIONS / shortest(dependent_additions, NULL);
  const double misprediction = seconds_per_misprediction();
  const double handoff = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? seconds_per_handoff() : 0;
  printf("{\"ghz\": %.4f, \"dots_per_cycle\": %.4f, \"l2_bytes_per_cycle\": %.3f, ", clock * 1e-9,
         DOTS / shortest(dot_products, NULL) / clock, bytes_per_second(words[1]) / clock);
  printf("\"l3_gb_per_s\": %.3f, \"memory_gb_per_s\": %.3f, ", bytes_per_second(words[2]) * 1e-9,
         bytes_per_second(words[3]) * 1e-9);
  printf("\"mispredict_cycles\": %.2f, \"foreseen_trips\": %d, \"handoff_ns\": %.1f}\n", misprediction * clock,
         foreseen_trips(misprediction), handoff * 1e9);
  return 0;
}
