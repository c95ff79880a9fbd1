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
  const char *gpu_library; /* path of the GPU driver's library (OpenCL's, CUDA's); NULL: the system's */
  /* A folder that only this app may write, for what OpenCL's driver makes of the kernels' text, which it otherwise does
   * again for each instance: an app's cache folder. NULL: nothing is kept. (CUDA's driver keeps its own.) */
  const char *cache_folder;
} ed_options;

/* What computes where it is not the CPU. */
typedef struct {
  char name[128];   /* as its driver gives it: "QUALCOMM Adreno(TM) 650" */
  char driver[128]; /* its version */
  int is_gpu;       /* 0: software that simulates one, which ED_GPU takes and ED_AUTO does not */
  size_t bytes;     /* of device memory: weights, activations and images */
} ed_device;

/* Allocates all memory, starts all threads, and runs the self-test, once a process for each set of kernels: the
 * artefact has a tile and the SHA-256 of what the network's definition makes of an image full of it (and for a GPU in
 * fp16 what float32 makes of it, with the most that a byte may differ); what computes something else is not used. `options` may be NULL. NULL on failure: a processor without the instructions that the
 * network was compiled for, no kernels that pass the self-test, no memory, bad options. Where ED_AUTO has left the GPU,
 * the instance is well and ed_last_error() says why: no driver, an error of it, or a self-test that failed. So it is
 * where the system refuses the process the processor's AMX: other kernels of the artefact run. */
ED_API ed_model *ed_create(const ed_options *options);

/* Restores one image. The buffers may not overlap and need no alignment. Allocates nothing, starts no thread, except
 * for the images of a self-test that ed_options.canary asks for. */
ED_API int ed_run(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out);

/* As ed_run, and adds the milliseconds of each layer to layer_ms[ed_layer_count()]. */
ED_API int ed_run_profiled(ed_model *model, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms);

/* How a camera's pixels lie in memory: the planes of ed_frame. */
enum {
  ED_RGB,         /* 0: three bytes a pixel */
  ED_RGBA,        /* 0: four; alpha is handed through, 255 where the input has none */
  ED_NV12,        /* 0: luma; 1: Cb and Cr in turn, for 2x2 pixels */
  ED_NV21,        /* 0: luma; 1: Cr and Cb in turn */
  ED_I420,        /* 0: luma; 1: Cb; 2: Cr */
  ED_YUV_420_888, /* the same, as Android gives it: samples of 1 and 2 are pixel_stride bytes apart */
};
enum { ED_BT601, ED_BT709 };
enum { ED_LIMITED, ED_FULL };

/* A frame of any size. Of one that is restored the planes are only read. */
typedef struct {
  int width, height; /* as it lies in memory, 1 to 32768 */
  int format;        /* ED_RGB ... */
  int matrix, range; /* of YUV: ED_BT601 or ED_BT709, ED_LIMITED or ED_FULL */
  uint8_t *plane[3];
  int row_stride[3];   /* bytes from a row to the next; 0: tightly packed */
  int pixel_stride[3]; /* of ED_YUV_420_888's planes 1 and 2; 0: 1 */
} ed_frame;

/* All zero, or NULL: the whole frame, as it lies. */
typedef struct {
  int rotation; /* 0, 90, 180 or 270: degrees clockwise that turn the input upright */
  int overlap;  /* pixels that neighbouring tiles share at least; 0: 64. At most half a tile is taken. */
  /* How much of the restoration counts: all at 255, at 0 the pixel stays as it came. Of any size, laid over the whole
   * upright picture and interpolated. NULL: all of it. */
  const uint8_t *mask;
  int mask_width, mask_height, mask_stride; /* mask_stride 0: mask_width */
} ed_frame_options;

/* Restores a frame into another one, which has the size of the upright input and may have another format, but no memory
 * in common. A frame of a size that was compiled is one tile, others are cut into overlapping ones. Where the mask is 0
 * not a byte changes, if both frames are RGB or both are YUV of one matrix and range; tiles without any other value are
 * not computed. Allocates only when size or overlap are not those of the frame before. */
ED_API int ed_run_frame(ed_model *model, const ed_frame *in, const ed_frame *out, const ed_frame_options *options);

/* How many tiles the last ed_run_frame computed. */
ED_API int ed_frame_tiles(const ed_model *model);

/* One way to run, of those that a governor may choose: which of the program's networks, on what, with how many threads,
 * and how often. */
typedef struct {
  int model;                /* the program's own number: a tier, for instance */
  ed_processor unit;
  int threads;
  double frames_per_second; /* at most; 0: as they come */
} ed_level;

/* What was measured since the last call. */
typedef struct {
  double seconds;  /* when, on a clock that does not go back */
  double p90_ms;   /* of the frames since then; NAN where there were none */
  double headroom; /* from ed_thermal_headroom(10): 1 is where it throttles. NAN: unknown */
} ed_reading;

/* What a governor remembers; all zero at first. */
typedef struct {
  int level;
  double changed;  /* seconds, of the last change of level */
  double uneasy;   /* seconds, of the last reading that was late or warm */
  double patience; /* seconds without such a reading, after which a better level is tried; 0: not begun */
  int raised;      /* whether the last change was to a better level */
} ed_governor;

/* Chooses a level so that 90 % of the frames take no longer than `budget_ms`, although the phone heats up. The levels
 * are in the order of what is preferred, each heats less than the one before. Returns the index of the level to run
 * now, or -1 with an error: no levels, a budget that is no positive number, a clock that goes back. Call it once a
 * second or so. It reads and writes nothing but its arguments. docs/governor.md has the rule. */
ED_API int ed_govern(ed_governor *governor, int level_count, double budget_ms, const ed_reading *reading);

/* How near the machine is to throttling, for ed_reading: 1 is where it does. On Android AThermal_getThermalHeadroom's
 * forecast for so many seconds ahead (API 31; at most one call a second), where it exists; else, from the kernel's thermal
 * zones, (temperature - (T - 30)) / 30 as it is now, at least 0, where T is the temperature from which on the kernel
 * lowers clocks (a trip point of the kind "passive"), and of all zones the highest. NAN where nothing can be read. */
ED_API double ed_thermal_headroom(int forecast_seconds);

/* Ends the threads and frees the memory. `model` may be NULL. */
ED_API void ed_destroy(ed_model *model);

/* How many threads an instance computes with. */
ED_API int ed_threads(const ed_model *model);

/* What computes for an instance now: ED_CPU or ED_GPU. With ED_AUTO an error or a canary that fails moves a running
 * instance to the CPU, which then restores that image; ed_last_error() says why. */
ED_API ed_processor ed_unit(const ed_model *model);

/* In which form the network computes for an instance now: "int8", whose bytes are the same on every processor, or "fp16"
 * on a GPU for which it was compiled so: other bytes, near those of the float network. The CPU always computes "int8". */
ED_API const char *ed_precision(const ed_model *model);

/* The GPU of an instance; NULL while the CPU computes. */
ED_API const ed_device *ed_gpu(const ed_model *model);

/* What went wrong in the calling thread's last failed call; "" where nothing has. Valid until its next failure. */
ED_API const char *ed_last_error(void);

/* The network that this library holds; the same for every instance. Sizes in bytes. */
ED_API const char *ed_name(void);
ED_API const char *ed_version(void);           /* of edgedeblur that compiled it */
ED_API const char *ed_isa(void);               /* whose kernels run on this processor: "i8mm", "sdot", ... */
ED_API int ed_height(void);                    /* of the images of ed_run: the first size */
ED_API int ed_width(void);
ED_API int ed_sizes(void);                     /* how many sizes were compiled */
ED_API int ed_size(int index, int *height, int *width);
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
