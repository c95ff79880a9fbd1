/* govern.h: runs under a governor: which instance takes the next frame, and when. */
#ifndef EDGEDEBLUR_BENCH_GOVERN_H
#define EDGEDEBLUR_BENCH_GOVERN_H

#include <signal.h>

#include "bench_options.h"
#include "edgedeblur.h"

enum { GOVERNED_FRAMES = 8192 }; /* of a second that p90 is of; of a faster network the first */

typedef struct {
  const bench_options *options;
  ed_model *models[MAX_LEVELS]; /* one for each level; levels that differ only in frame rate share theirs */
  ed_governor governor;
  ed_reading reading; /* the last one */
  double next_s;      /* when the next frame comes, at the level's frame rate */
  double read_s;      /* when the next reading is due */
  double recent_ms[GOVERNED_FRAMES];
  int recent_count;
} bench_governed;

/* Makes the instances; `first` is the one for the options' own unit and threads, which is taken where a level has them.
 * 0, or -1 after ed_last_error(). */
int bench_govern_begin(bench_governed *governed, const bench_options *options, ed_model *first);

/* The instance for the next frame, once it has come; earlier where `interrupted` is set. */
ed_model *bench_govern_next(bench_governed *governed, const volatile sig_atomic_t *interrupted);

/* Told of a frame. 1: a second was over, so there is a new reading and perhaps another level; 0: it was not; -1 after
 * ed_last_error(). */
int bench_govern_frame(bench_governed *governed, double elapsed_ms);

/* Ends the instances, but for `first`. */
void bench_govern_end(bench_governed *governed, ed_model *first);

#endif
