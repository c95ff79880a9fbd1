/* gpu_unit.h: the network on a GPU: its tables, which the generated gpu.c holds, and what runs them. */
#ifndef EDGEDEBLUR_GPU_UNIT_H
#define EDGEDEBLUR_GPU_UNIT_H

#include <stddef.h>
#include <stdint.h>

#include "edgedeblur.h"
#include "tables.h"

/* A block of device memory. ED_INPUT and ED_OUTPUT are images, one word a pixel: red, green, blue, unused. */
typedef struct {
  uint8_t place;   /* as ed_operand */
  uint64_t offset; /* of an ED_CONSTANT, in the constants */
  uint64_t bytes;
} ed_gpu_buffer;

typedef struct {
  const char *kernel; /* its name in the text */
  uint32_t layer;     /* index in the CPU's tables */
  uint32_t argument;  /* index of its first argument in `arguments` */
  uint32_t argument_count;
  size_t groups[2]; /* work groups along x and y */
  size_t group[2];  /* work items of one */
} ed_gpu_call;

typedef struct {
  const char *text; /* of all kernels: OpenCL C, or PTX; a zero behind it */
  size_t text_bytes;
  const uint8_t *constants;
  const ed_gpu_buffer *buffers;
  uint32_t buffer_count;
  const uint32_t *arguments; /* indices of buffers, in each kernel's order */
  const ed_gpu_call *calls;
  uint32_t call_count;
} ed_gpu_tables;

typedef struct ed_gpu_unit ed_gpu_unit;

/* One interface to GPUs. */
typedef struct ed_gpu_driver {
  /* An instance with its kernels built and the weights in device memory; NULL with an error. With ED_GPU also on a
   * device that is no GPU. */
  ed_gpu_unit *(*create)(const ed_options *options);
  /* Restores one image; adds to layer_ms where it is not NULL, and waits for each kernel then. */
  int (*run)(ed_gpu_unit *unit, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms);
  const ed_device *(*device)(const ed_gpu_unit *unit);
  void (*destroy)(ed_gpu_unit *unit); /* `unit` may be NULL */
} ed_gpu_driver;

extern const ed_gpu_tables ed_model_gpu_tables;

#endif
