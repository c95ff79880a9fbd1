/* cpu.c: asks the processor for the instructions that the kernels use, so that a wrong one gets a message and not a
 * SIGILL. By cpuid and auxv: __builtin_cpu_supports needs a constructor that not every C runtime has. */
#include "cpu.h"

#include <string.h>

#include "error.h"
#include "tables.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OSXSAVE = 1 << 27, FMA = 1 << 12 };                         /* leaf 1, ecx */
enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17 };     /* leaf 7, ebx */
enum { AVX512BW = 1 << 30, AVX512VNNI = 1 << 11, VBMI = 1 << 1 };  /* leaf 7, ebx and twice ecx */
enum { AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 };                   /* leaf 7, edx */
static const unsigned AVX512VL = 1u << 31;                         /* leaf 7, ebx */
enum { AVXVNNI = 1 << 4 };                                         /* leaf 7.1, eax */
enum { YMM_STATE = 0x6, ZMM_STATE = 0xe6, TILE_STATE = 0x60000 };  /* xcr0: registers that the system saves */
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };    /* Linux, Documentation/arch/x86/xstate.rst */

static unsigned saved_state(void) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/* Whether the system lets this process use the registers of AMX: 0, or the error. Asked once, for all of its threads. */
static int ask_for_tiles(void) {
  enum { UNASKED = -1 };
  static atomic_int answer = UNASKED;
  int known = atomic_load(&answer);
  if (known == UNASKED) { /* threads that ask at the same time get the same answer */
    known = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 ? 0 : errno;
    atomic_store(&answer, known);
  }
  return known;
}

/* Whether the processor has the instructions and the system saves their registers. */
static bool is_there(int isa) {
  unsigned a, b, c, d, leaf1;
  if (!__get_cpuid(1, &a, &b, &leaf1, &d) || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if (!(leaf1 & OSXSAVE)) return false;
  const unsigned state = saved_state();
  const bool avx2 = (leaf1 & FMA) && (b & AVX2) && (state & YMM_STATE) == YMM_STATE;
  if (isa == ED_ISA_AVX2 || !avx2) return avx2;
  if (isa == ED_ISA_AVXVNNI) {
    unsigned leaf71; /* a processor without that leaf gives zeros */
    return __get_cpuid_count(7, 1, &leaf71, &b, &c, &d) && (leaf71 & AVXVNNI);
  }
  const unsigned wide = AVX512F | AVX512DQ | AVX512BW | AVX512VL;
  const bool vnni = (b & wide) == wide && (c & AVX512VNNI) && (state & ZMM_STATE) == ZMM_STATE;
  if (isa == ED_ISA_VNNI) return vnni;
  const bool tiles = (d & AMX_TILE) && (d & AMX_INT8) && (state & TILE_STATE) == TILE_STATE;
  return isa == ED_ISA_AMX && vnni && (c & VBMI) && tiles;
}

int ed_refusal(int isa) { return isa == ED_ISA_AMX && is_there(isa) ? ask_for_tiles() : 0; }

bool ed_has_isa(int isa) { return is_there(isa) && ed_refusal(isa) == 0; }
#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { ASIMD = 1 << 1, ASIMDDP = 1 << 20 }; /* AT_HWCAP: Armv8.0's vectors; SDOT and UDOT */
enum { I8MM = 1 << 13 };                     /* AT_HWCAP2: SMMLA */

int ed_refusal(int isa) { return (void)isa, 0; }

bool ed_has_isa(int isa) {
  if (isa == ED_ISA_I8MM) return getauxval(AT_HWCAP2) & I8MM;
  return getauxval(AT_HWCAP) & (isa == ED_ISA_SDOT ? ASIMDDP : isa == ED_ISA_NEON ? ASIMD : 0);
}
#else
#error "edgedeblur compiles for x86-64 and AArch64"
#endif

const char *ed_isa_name(int isa) {
  static const char *const names[] = {
      [ED_ISA_AVX2] = "avx2", [ED_ISA_VNNI] = "vnni", [ED_ISA_AVXVNNI] = "avxvnni",
      [ED_ISA_AMX] = "amx",
      [ED_ISA_SDOT] = "sdot", [ED_ISA_I8MM] = "i8mm", [ED_ISA_NEON] = "neon",
  };
  return names[isa];
}

int ed_check_cpu(int isa) {
  static const char *const needs[] = {
      [ED_ISA_AVX2] = "AVX2 and FMA",
      [ED_ISA_VNNI] = "AVX-512 VNNI (with F, DQ, BW, VL)",
      [ED_ISA_AVXVNNI] = "AVX-VNNI (with AVX2 and FMA)",
      [ED_ISA_AMX] = "AMX-INT8 (with AVX-512 VNNI and VBMI)",
      [ED_ISA_SDOT] = "dot-product (SDOT)",
      [ED_ISA_I8MM] = "int8 matrix (SMMLA)",
      [ED_ISA_NEON] = "Advanced SIMD",
  };
  if (ed_has_isa(isa)) return 0;
  const int refusal = ed_refusal(isa);
  if (refusal != 0) {
    return ed_fail("the system refuses this process the %s instructions (%s), which the network was compiled for",
                   needs[isa], strerror(refusal));
  }
  return ed_fail("this processor has no %s instructions, which the network was compiled for", needs[isa]);
}
