/* cpu_unit.h: the network on the processor's cores: which kernels, and an instance of them. */
#ifndef EDGEDEBLUR_CPU_UNIT_H
#define EDGEDEBLUR_CPU_UNIT_H

#include <stddef.h>
#include <stdint.h>
#include <tvm/runtime/c_backend_api.h>

#include "tables.h"

typedef struct ed_cpu_unit ed_cpu_unit;

/* The tables of the first size, which those of the others follow: the first kernels that this processor can run and that have passed or not yet taken the self-test; where there are
 * none, the last, which need least of it. */
const ed_tables *ed_cpu_tables(void);

/* An instance that has passed the self-test, once a process for each set of kernels; a set that fails is not used any
 * more, but the next. NULL with an error. threads: 0 for the target's. cores: as ed_options. */
ed_cpu_unit *ed_cpu_create(int threads, uint64_t cores);

/* What an instance needs for the largest of the sizes whose tables begin there. */
size_t ed_cpu_arena_bytes(const ed_tables *tables);
size_t ed_cpu_workspace_bytes(const ed_tables *tables);

/* Restores one image of a size. Adds to layer_ms where it is not NULL. */
int ed_cpu_run(ed_cpu_unit *unit, int size, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms);

/* As ed_cpu_run for the first size without times, for self_test.h; `unit` is an ed_cpu_unit. */
int ed_cpu_run_image(void *unit, const uint8_t *rgb_in, uint8_t *rgb_out);

/* Calls `function` with every task from 0 to tasks - 1, on all of the unit's threads. */
int ed_cpu_launch(ed_cpu_unit *unit, FTVMParallelLambda function, void *closure, int tasks);

int ed_cpu_threads(const ed_cpu_unit *unit);

/* The name of its kernels' instructions. */
const char *ed_cpu_name(const ed_cpu_unit *unit);

/* `unit` may be NULL. */
void ed_cpu_destroy(ed_cpu_unit *unit);

#endif
