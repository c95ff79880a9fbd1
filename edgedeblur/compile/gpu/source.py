"""From TIR to source text, by TVM's code generators, behind a page of prelude for each language: OpenCL C, CUDA, WGSL.

The kernels call functions by name; the prelude says what they are there:
    ed_dot(a, b, sum)   sum plus the products of the four int8 of each word, by an instruction where there is one
    ed_rint(x)          float32 to int32, half to even
and those of the float16 form, whose preludes are in half/prelude.py, others for uint32 that hold two float16.
"""

import re
from dataclasses import dataclass

import tvm

from edgedeblur.compile.gpu.form import FP16, Form
from edgedeblur.compile.gpu.half.prelude import HALF_PRELUDES

CUDA_ARCH = "sm_75"  # the oldest that runs the kernels: Turing, such as the T4
PRELUDES = {
    "opencl": """\
#pragma OPENCL FP_CONTRACT OFF
#define ed_rint(x) convert_int_rte(x)
#if defined(ED_PLAIN_DOT)
#elif defined(__opencl_c_integer_dot_product_input_4x8bit_packed) || defined(cl_khr_integer_dot_product)
#define ed_dot(a, b, sum) ((sum) + dot_4x8packed_ss_int(a, b))
#elif defined(cl_arm_integer_dot_product_accumulate_int8)
#pragma OPENCL EXTENSION cl_arm_integer_dot_product_accumulate_int8 : enable
#define ed_dot(a, b, sum) arm_dot_acc(as_char4(a), as_char4(b), sum)
#endif
#if !defined(ed_dot)
int ed_dot(uint a, uint b, int sum) {
  int4 products = convert_int4(as_char4(a)) * convert_int4(as_char4(b));
  return sum + products.x + products.y + products.z + products.w;
}
#endif
""",
    # NVIDIA's compilers declare themselves what is declared here for ptx.py's clang, which has no header of CUDA.
    "cuda": """\
#if !defined(__CUDACC__) && defined(__NVPTX__)
#define __global__ __attribute__((nvptx_kernel))
#define __shared__ static __attribute__((address_space(3), loader_uninitialized))
#define __launch_bounds__(items)
#define alignas(bytes) __attribute__((aligned(bytes)))
#define blockIdx (ed_index{__nvvm_read_ptx_sreg_ctaid_x(), __nvvm_read_ptx_sreg_ctaid_y()})
#define threadIdx (ed_index{__nvvm_read_ptx_sreg_tid_x(), __nvvm_read_ptx_sreg_tid_y()})
#define __syncthreads() __nvvm_bar_sync(0)
#define __float2int_rn(x) __nvvm_f2i_rn(x)
struct ed_index { int x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned int x, y, z, w; };
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float min(float a, float b) { return __nvvm_fmin_f(a, b); }
static inline float max(float a, float b) { return __nvvm_fmax_f(a, b); }
static inline int __dp4a(int a, int b, int sum) {
  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
#endif
#define uint unsigned int
#define ed_dot(a, b, sum) __dp4a((int)(a), (int)(b), sum)
#define ed_rint(x) __float2int_rn(x)
""",
    "webgpu": """\
requires packed_4x8_integer_dot_product;
fn ed_dot(a : u32, b : u32, sum : i32) -> i32 { return sum + dot4I8Packed(a, b); }
fn ed_rint(x : f32) -> i32 { return i32(round(x)); }
""",
}
_SUFFIX = "_kernel"  # that TVM gives the part of a function that runs on the device
_HEAD = re.compile(r"(?:__kernel|__global__) void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\) \{")
_CUDA_FIRST = 'extern "C" __global__'  # before it TVM declares what the prelude does
_WGSL_SECTION = re.compile(r"^// Function: (\w+)\n", re.MULTILINE)
_WGSL_BUFFER = re.compile(r"@binding\(\d+\) var<storage, \w+> (\w+) :")
_WGSL_NAMES = re.compile(r"(?:^struct|var<[^>]+>) (\w+)", re.MULTILINE)  # of a module's own declarations


@dataclass(frozen=True)
class KernelText:
    """The text of all kernels. entries: by symbol, the name of the kernel in it and its arguments in its own order."""

    text: str
    entries: dict[str, tuple[str, tuple[str, ...]]]


def generate_text(functions: dict[str, tvm.tirx.PrimFunc], language: str, form: Form) -> KernelText:
    """The text of the kernels in a language of PRELUDES, for float16 of HALF_PRELUDES.

    Raises:
        ValueError: TVM wrote something whose heads cannot be read.
    """
    kind = {"kind": "cuda", "arch": CUDA_ARCH} if language == "cuda" else language
    target = tvm.target.Target(kind, host="llvm")
    text = tvm.compile(tvm.IRModule(functions), target=target).mod.imports[0].inspect_source()
    if language == "cuda":
        text = text[max(text.find(_CUDA_FIRST), 0) :]
    text, found = _wgsl_kernels(text) if language == "webgpu" else (text, _c_kernels(text))
    entries = {
        name.removesuffix(_SUFFIX): (name, tuple(one.removesuffix("_ptr") for one in arguments))
        for name, arguments in found.items()
    }
    if set(entries) != set(functions):
        raise ValueError(f"TVM wrote {language} kernels {sorted(entries)} for {sorted(functions)}")
    return KernelText(prelude(language, form) + text, entries)


def prelude(language: str, form: Form) -> str:
    """What stands before the kernels. CUDA's own declarations serve both forms."""
    if form is not FP16:
        return PRELUDES[language]
    return (PRELUDES[language] if language == "cuda" else "") + HALF_PRELUDES[language]


def _c_kernels(text: str) -> dict[str, list[str]]:
    """The arguments of every kernel in order, as the text names them."""
    return {name: [one.split()[-1] for one in arguments.split(",")] for name, arguments in _HEAD.findall(text)}


def _wgsl_kernels(text: str) -> tuple[str, dict[str, list[str]]]:
    """The kernels in one module, and the buffers of each in the order of their bindings.

    TVM writes a module for each kernel with the same names; here a kernel's names begin with its own.
    """
    _, *parts = _WGSL_SECTION.split(text)
    named = zip(parts[::2], parts[1::2], strict=True)  # twice each, the first time without text
    sections = {name: section for name, section in named if section.strip("-/ \n")}
    whole, arguments = [], {}
    for name, section in sections.items():
        arguments[name] = _WGSL_BUFFER.findall(section)
        for declared in set(_WGSL_NAMES.findall(section)):
            section = re.sub(rf"\b{declared}\b", f"{name}_{declared}", section)
        whole.append(section)
    return "".join(whole), arguments
