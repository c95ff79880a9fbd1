/* cpu.c: asks the processor for the instructions that the kernels use, so that a wrong one gets a message and not a
 * SIGILL. By cpuid and auxv: __builtin_cpu_supports needs a constructor that not every C runtime has. */
#include "cpu.h"

#include "error.h"
#include "tables.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { OSXSAVE = 1 << 27, FMA = 1 << 12 };                         /* leaf 1, ecx */
enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17 };     /* leaf 7, ebx */
enum { AVX512BW = 1 << 30, AVX512VNNI = 1 << 11 };                 /* leaf 7, ebx and ecx */
static const unsigned AVX512VL = 1u << 31;                         /* leaf 7, ebx */
enum { AVXVNNI = 1 << 4 };                                         /* leaf 7.1, eax */
enum { YMM_STATE = 0x6, ZMM_STATE = 0xe6 };                        /* xcr0: registers that the system saves */

static unsigned saved_state(void) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool ed_has_isa(int isa) {
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
  return isa == ED_ISA_VNNI && (b & wide) == wide && (c & AVX512VNNI) && (state & ZMM_STATE) == ZMM_STATE;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { ASIMD = 1 << 1, ASIMDDP = 1 << 20 }; /* AT_HWCAP: Armv8.0's vectors; SDOT and UDOT */
enum { I8MM = 1 << 13 };                     /* AT_HWCAP2: SMMLA */

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
      [ED_ISA_SDOT] = "sdot", [ED_ISA_I8MM] = "i8mm", [ED_ISA_NEON] = "neon",
  };
  return names[isa];
}

int ed_check_cpu(int isa) {
  static const char *const needs[] = {
      [ED_ISA_AVX2] = "AVX2 and FMA",
      [ED_ISA_VNNI] = "AVX-512 VNNI (with F, DQ, BW, VL)",
      [ED_ISA_AVXVNNI] = "AVX-VNNI (with AVX2 and FMA)",
      [ED_ISA_SDOT] = "dot-product (SDOT)",
      [ED_ISA_I8MM] = "int8 matrix (SMMLA)",
      [ED_ISA_NEON] = "Advanced SIMD",
  };
  if (ed_has_isa(isa)) return 0;
  return ed_fail("this processor has no %s instructions, which the network was compiled for", needs[isa]);
}
