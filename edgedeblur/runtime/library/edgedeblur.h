/* edgedeblur.h: the public interface of a compiled deblurring network.
 *
 * Images are RGB, 8 bits per channel, row by row (height x width x 3 bytes), tightly packed.
 * Functions that return int give 0 on success and -1 on failure; ed_last_error() then says why.
 *
 *     ed_model *model = ed_create(NULL);
 *     if (model == NULL || ed_run(model, blurred, sharp) != 0) puts(ed_last_error());
 *     ed_destroy(model);
 */
#ifndef EDGEDEBLUR_H
#define EDGEDEBLUR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ED_API __attribute__((visibility("default")))

/* One network ready to run: its own memory and its own threads. Instances do not share anything that changes, so
 * different threads may run different instances at the same time. One instance runs one image at a time. */
typedef struct ed_model ed_model;

/* What computes. ED_AUTO: the GPU where the artefact has kernels for one and they pass the self-test, else the CPU. */
typedef enum { ED_AUTO, ED_CPU, ED_GPU } ed_processor;

typedef struct {
  int threads;       /* threads that compute, the caller's included; 0: what the network was compiled for */
  uint64_t cores;    /* bit i allows the worker threads on core i; 0: any core. The caller's own thread is left alone. */
  ed_processor unit; /* ED_GPU: a failure of the GPU is an error. ED_AUTO: the CPU takes over. */
  uint32_t canary;   /* repeat the self-test after every so many images; 0: never */
} ed_options;

/* Allocates all memory, starts all threads, and runs the self-test, once a process for each set of kernels: the
 * artefact has a tile and the SHA-256 of what the network's definition makes of an image full of it; what computes
 * something else is not used. `options` may be NULL. NULL on failure: a processor without the instructions that the
 * network was compiled for, no kernels that pass the self-test, no memory, bad options. */
ED_API ed_model *ed_create(const ed_options *options);

/* Restores one image. The buffers may not overlap and need no alignment. Allocates nothing, starts no thread, except
 * for the images of a self-test that ed_options.canary asks for. */
ED_API int ed_run(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out);

/* As ed_run, and adds the milliseconds of each layer to layer_ms[ed_layer_count()]. */
ED_API int ed_run_profiled(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms);

/* Ends the threads and frees the memory. `model` may be NULL. */
ED_API void ed_destroy(ed_model *model);

/* How many threads an instance computes with. */
ED_API int ed_threads(const ed_model *model);

/* What computes for an instance now: ED_CPU or ED_GPU. */
ED_API ed_processor ed_unit(const ed_model *model);

/* What went wrong in the calling thread's last failed call; "" where nothing has. Valid until its next failure. */
ED_API const char *ed_last_error(void);

/* The network that this library holds; the same for every instance. Sizes in bytes. */
ED_API const char *ed_name(void);
ED_API const char *ed_version(void);           /* of edgedeblur that compiled it */
ED_API const char *ed_isa(void);               /* whose kernels run on this processor: "i8mm", "sdot", ... */
ED_API int ed_height(void);
ED_API int ed_width(void);
ED_API size_t ed_arena_bytes(void);            /* activations, per instance */
ED_API size_t ed_workspace_bytes(void);        /* scratch, per thread */
ED_API size_t ed_weights_bytes(void);          /* read-only, shared by all instances */
ED_API int ed_layer_count(void);
ED_API const char *ed_layer_name(int layer);   /* NULL out of range */
ED_API uint64_t ed_layer_macs(int layer);      /* multiply-accumulates; 0 out of range */

#ifdef __cplusplus
}
#endif

#endif
