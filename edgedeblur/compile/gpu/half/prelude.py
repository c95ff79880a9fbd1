"""What kernels of the float16 form call, in each language that has it: uint32 that hold two float16, sums in float32.

    ed_half_low(w), ed_half_high(w)        one of the two as float32
    ed_pack_half(a, b)                     two float32 rounded to float16, half to even
    ed_dot_half(a0, a1, b0, b1, sum)       sum plus four products
    ed_rint(x)                             float32 to int32, half to even
    ed_exp(x)                              the exponential function

OpenCL C has vload_half and vstore_half in every version, so no extension is needed; where the compiler knows float16 as
a type of its own, conversions are plainer.
"""

HALF_PRELUDES = {
    "opencl": """\
#define ed_rint(x) convert_int_rte(x)
#define ed_exp(x) exp(x)
#if defined(cl_khr_fp16)
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
float2 ed_halves(uint w) { return convert_float2(as_half2(w)); }
uint ed_pack_half(float a, float b) { return as_uint(convert_half2_rte((float2)(a, b))); }
#else
float2 ed_halves(uint w) { return vload_half2(0, (const half *)&w); }
uint ed_pack_half(float a, float b) {
  uint w;
  vstore_half2_rte((float2)(a, b), 0, (half *)&w);
  return w;
}
#endif
float ed_half_low(uint w) { return ed_halves(w).x; }
float ed_half_high(uint w) { return ed_halves(w).y; }
float ed_dot_half(uint a0, uint a1, uint b0, uint b1, float sum) {
  const float4 a = (float4)(ed_halves(a0), ed_halves(a1)), b = (float4)(ed_halves(b0), ed_halves(b1));
  sum = mad(a.x, b.x, sum);
  sum = mad(a.y, b.y, sum);
  sum = mad(a.z, b.z, sum);
  return mad(a.w, b.w, sum);
}
""",
    # As in source.py's prelude, which comes before it: NVIDIA's compilers have a header for what clang has as a type.
    "cuda": """\
#if defined(__CUDACC__)
#include <cuda_fp16.h>
#define ed_host_device __device__
#define ed_half(w) __half2float(__ushort_as_half(w))
#define ed_to_half(x) __half_as_ushort(__float2half_rn(x))
#define ed_exp(x) exp2f(1.44269504f * (x))
#define ed_fma(a, b, c) fmaf(a, b, c)
#else
#define ed_host_device
#define ed_half(w) ((float)__builtin_bit_cast(_Float16, (unsigned short)(w)))
#define ed_to_half(x) __builtin_bit_cast(unsigned short, (_Float16)(x))
#define ed_exp(x) __nvvm_ex2_approx_f(1.44269504f * (x))
#define ed_fma(a, b, c) __builtin_fmaf(a, b, c)
#endif
#define ed_half_low(w) ed_half((unsigned short)(w))
#define ed_half_high(w) ed_half((unsigned short)((w) >> 16))
#define ed_pack_half(a, b) ((uint)ed_to_half(a) | (uint)ed_to_half(b) << 16)
static inline ed_host_device float ed_dot_half(uint a0, uint a1, uint b0, uint b1, float sum) {
  sum = ed_fma(ed_half_low(a0), ed_half_low(b0), sum);
  sum = ed_fma(ed_half_high(a0), ed_half_high(b0), sum);
  sum = ed_fma(ed_half_low(a1), ed_half_low(b1), sum);
  return ed_fma(ed_half_high(a1), ed_half_high(b1), sum);
}
""",
}
