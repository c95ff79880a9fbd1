/* tables.h: what the generated model.c holds: the network as data, in the order of execution. */
#ifndef EDGEDEBLUR_TABLES_H
#define EDGEDEBLUR_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <tvm/ffi/c_api.h>

enum { ED_ALIGNMENT = 64 };

/* Where an operand lies: the caller's images, the instance's arena, or the read-only constants. */
enum { ED_INPUT, ED_OUTPUT, ED_ARENA, ED_CONSTANT };

/* The instructions that the kernels need, see cpu.h. */
enum { ED_ISA_AVX2, ED_ISA_VNNI, ED_ISA_AVXVNNI, ED_ISA_AMX, ED_ISA_SDOT, ED_ISA_I8MM, ED_ISA_NEON };

typedef struct {
  uint8_t place;
  uint8_t type_code; /* DLDataTypeCode */
  uint8_t bits;
  uint8_t dimensions;
  uint32_t shape;  /* index of its first dimension in `shapes` */
  uint64_t offset; /* bytes from the start of its place */
} ed_operand;

/* A kernel as TVM compiles it (TVMFFISafeCallType). */
typedef int (*ed_kernel)(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result);

typedef struct {
  ed_kernel kernel;
  uint32_t layer;
  uint32_t operand; /* index of its first operand in `operands` */
  uint32_t operand_count;
} ed_call;

typedef struct {
  const char *name;
  uint64_t macs;
} ed_layer;

typedef struct {
  const char *name;
  const char *version;
  int isa;
  int height;
  int width;
  int multiple; /* of which the network's heights and widths are */
  int threads;
  size_t arena_bytes;
  size_t workspace_bytes;
  size_t constants_bytes;
  const uint8_t *constants; /* 64-byte aligned */
  const int64_t *shapes;
  const ed_operand *operands;
  uint32_t operand_count;
  const ed_call *calls;
  uint32_t call_count;
  const ed_layer *layers;
  uint32_t layer_count;
} ed_tables;

/* What the self-test compares: the image that repeats the tile, and the SHA-256 of its restoration by the integer
 * interpreter. tile: height x width x 3 bytes; NULL where there is no self-test. gpu_image: where the GPU's kernels are
 * of the float16 form, which has no digest, that image restored in float32, else NULL; gpu_levels: the most by which a
 * byte of the GPU's may differ from it. */
typedef struct {
  const uint8_t *tile;
  int height;
  int width;
  uint8_t sha256[32];
  const uint8_t *gpu_image;
  int gpu_levels;
} ed_proof;

extern const ed_proof ed_model_proof;

/* What runs the network on a GPU (gpu_unit.h); NULL in an artefact without kernels for one. */
struct ed_gpu_driver;
extern const struct ed_gpu_driver *const ed_model_gpu;

/* The same network once for each set of kernels, the one that needs most of the processor first; each set once for each
 * of `ed_model_sizes` sizes, in the same order. */
extern const ed_tables ed_model_tables[];
extern const uint32_t ed_model_tables_count;
extern const uint32_t ed_model_sizes;

#endif
