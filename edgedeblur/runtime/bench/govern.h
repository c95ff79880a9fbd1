/* govern.h: runs under a governor: which instance takes the next frame, and when. */
#ifndef EDGEDEBLUR_BENCH_GOVERN_H
#define EDGEDEBLUR_BENCH_GOVERN_H

#include <signal.h>

#include "bench_options.h"
#include "edgedeblur.h"
#include "other_network.h"

enum { GOVERNED_FRAMES = 8192 }; /* of a second that p90 is of; of a faster network the first */

typedef struct {
  const bench_options *options;
  ed_model *models[MAX_LEVELS]; /* one for each level; levels that differ only in frame rate share theirs; of another
                                 * network NULL */
  other_network networks[MAX_NETWORKS];
  int places[MAX_LEVELS]; /* of a level among those of its network */
  ed_governor governor;
  ed_reading reading; /* the last one */
  double next_s;      /* when the next frame comes, at the level's frame rate */
  double read_s;      /* when the next reading is due */
  double recent_ms[GOVERNED_FRAMES];
  int recent_count;
} bench_governed;

/* Makes the instances; `first` is the one for the options' own unit and threads, which is taken where a level has them.
 * Starts the other networks. 0, or -1 after ed_last_error() or a message on stderr. */
int bench_govern_begin(bench_governed *governed, const bench_options *options, ed_model *first);

/* Returns when the next frame has come; earlier where `interrupted` is set. */
void bench_govern_wait(bench_governed *governed, const volatile sig_atomic_t *interrupted);

/* The frame by the level's network and instance: one of this program as ed_run, with layer_ms as ed_run_profiled. 0, or
 * -1 after ed_last_error() or a message on stderr. */
int bench_govern_run(bench_governed *governed, const uint8_t *in, uint8_t *out, double *layer_ms);

/* Told of a frame. 1: a second was over, so there is a new reading and perhaps another level; 0: it was not; -1 after
 * ed_last_error(). */
int bench_govern_frame(bench_governed *governed, double elapsed_ms);

/* Ends the instances, but for `first`, and the other networks. */
void bench_govern_end(bench_governed *governed, ed_model *first);

#endif
