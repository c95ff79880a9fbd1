/* peak.c: independent dot products in a loop, the best of a few rounds: other work on the core only makes it slower. */
#include "peak.h"

#include <string.h>
#include <time.h>

enum { ROUNDS = 12, REPEATS = 40000, CHAINS = 12 };

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#define TWELVE(DOT) DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7) DOT(8) DOT(9) DOT(10) DOT(11)

#if defined(__x86_64__)
#define REGISTERS                                                                                                   \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15"

/* vpmaddwd and the addition that goes with it: 16 products. */
__attribute__((target("avx2"))) static void avx2(void) {
#define DOT(n) "vpmaddwd %%ymm14, %%ymm15, %%ymm12\nvpaddd %%ymm12, %%ymm" #n ", %%ymm" #n "\n"
  for (int i = 0; i < REPEATS; i++) __asm__ volatile(TWELVE(DOT)::: REGISTERS);
#undef DOT
}

__attribute__((target("avx512f,avx512vnni"))) static void vnni(void) {
#define DOT(n) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #n "\n"
  for (int i = 0; i < REPEATS; i++) __asm__ volatile(TWELVE(DOT)::: REGISTERS);
#undef DOT
}

__attribute__((target("avxvnni"))) static void avxvnni(void) {
#define DOT(n) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #n "\n"
  for (int i = 0; i < REPEATS; i++) __asm__ volatile(TWELVE(DOT)::: REGISTERS);
#undef DOT
}

/* Registers of 16 rows of 64 bytes; the process may use them, as the network's kernels do. Four chains, three steps. */
__attribute__((target("amx-tile,amx-int8"))) static void amx(void) {
  static const struct {
    unsigned char palette, start[15];
    unsigned short row_bytes[16];
    unsigned char rows[16];
  } shapes = {1, {0}, {64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16}};
  __asm__ volatile("ldtilecfg %0" ::"m"(shapes));
#define DOT(n) "tdpbssd %%tmm5, %%tmm4, %%tmm" #n "\n"
  for (int i = 0; i < REPEATS; i++) {
    __asm__ volatile(DOT(0) DOT(1) DOT(2) DOT(3) DOT(0) DOT(1) DOT(2) DOT(3) DOT(0) DOT(1) DOT(2) DOT(3)::: "memory");
  }
#undef DOT
  __asm__ volatile("tilerelease" ::: "memory");
}

static const struct {
  const char *isa;
  void (*run)(void);
  int macs; /* of one chain's step */
} loops[] = {{"avx2", avx2, 16}, {"vnni", vnni, 64}, {"avxvnni", avxvnni, 32}, {"amx", amx, 16 * 16 * 64}};
#elif defined(__aarch64__)
#define REGISTERS \
  "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v30", "v31"

/* smull, smlal and the addition in pairs: 16 products. */
static void neon(void) {
#define DOT(n) "smull v12.8h, v14.8b, v15.8b\nsmlal v12.8h, v30.8b, v31.8b\nsadalp v" #n ".4s, v12.8h\n"
  for (int i = 0; i < REPEATS; i++) __asm__ volatile(TWELVE(DOT)::: REGISTERS);
#undef DOT
}

__attribute__((target("dotprod"))) static void sdot(void) {
#define DOT(n) "sdot v" #n ".4s, v14.16b, v15.16b\n"
  for (int i = 0; i < REPEATS; i++) __asm__ volatile(TWELVE(DOT)::: REGISTERS);
#undef DOT
}

__attribute__((target("i8mm"))) static void i8mm(void) {
#define DOT(n) "smmla v" #n ".4s, v14.16b, v15.16b\n"
  for (int i = 0; i < REPEATS; i++) __asm__ volatile(TWELVE(DOT)::: REGISTERS);
#undef DOT
}

static const struct {
  const char *isa;
  void (*run)(void);
  int macs; /* of one chain's step */
} loops[] = {{"neon", neon, 16}, {"sdot", sdot, 16}, {"i8mm", i8mm, 32}};
#endif

double bench_peak_gmacs(const char *isa) {
  for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
    if (strcmp(loops[i].isa, isa) != 0) continue;
    double best = 0.0;
    for (int round = 0; round < ROUNDS; round++) {
      const double start = seconds();
      loops[i].run();
      const double rate = (double)REPEATS * CHAINS * loops[i].macs / (seconds() - start) * 1e-9;
      if (rate > best) best = rate;
    }
    return best;
  }
  return 0.0;
}
