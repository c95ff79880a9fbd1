/* instance.h: what an instance is, for the files that run it. */
#ifndef EDGEDEBLUR_INSTANCE_H
#define EDGEDEBLUR_INSTANCE_H

#include <stdatomic.h>
#include <stdint.h>
#include <tvm/runtime/c_backend_api.h>

#include "edgedeblur.h"

struct ed_cpu_unit;
struct ed_gpu_unit;
struct ed_camera;

struct ed_model {
  struct ed_cpu_unit *cpu; /* one of the two is NULL */
  struct ed_gpu_unit *gpu;
  struct ed_camera *camera; /* of ed_run_frame; NULL before its first call */
  ed_options options;
  uint32_t images;          /* since the last self-test */
  atomic_bool running;
};

enum { ED_AGAIN = 1 };

/* Between a successful ed_begin and ed_end the calling thread alone uses the instance. ed_end takes what the run gave
 * and returns it, or -1 where the self-test that is due then fails. ED_AGAIN: a GPU failed, the instance is on the CPU
 * now and still the calling thread's, which runs the same again and calls ed_end again. */
int ed_begin(ed_model *model);
int ed_end(ed_model *model, int status);

/* Restores one image of that size (ed_size), on what computes for the instance. */
int ed_restore(ed_model *model, int size, const uint8_t *rgb_in, uint8_t *rgb_out);

/* Calls `function` with every task from 0 to tasks - 1, on all threads. 0, or -1 with the error of one that failed. */
int ed_launch(ed_model *model, FTVMParallelLambda function, void *closure, int tasks);

#endif
