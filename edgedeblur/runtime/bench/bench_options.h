/* bench_options.h: the command line of edgedeblur-bench. */
#ifndef EDGEDEBLUR_BENCH_OPTIONS_H
#define EDGEDEBLUR_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "edgedeblur.h"

enum { MAX_LEVELS = 16, MAX_NETWORKS = 3 };

typedef struct {
  const char *input;  /* NULL: a pseudo-random image */
  const char *output; /* NULL: not kept */
  long runs;
  long warmup;
  double min_seconds;
  int threads;    /* 0: the target's */
  uint64_t cores; /* 0: any */
  ed_processor unit;
  long canary;             /* images; 0: never */
  const char *gpu_library; /* NULL: the system's */
  const char *cache;       /* NULL: none */
  double govern_ms; /* the governor's budget; 0: no governor */
  ed_level levels[MAX_LEVELS];
  int level_count;
  const char *networks[MAX_NETWORKS]; /* other networks' programs: model 1 and on of the levels; 0 is the own */
  int network_count;
  const char *zones; /* folder of the thermal zones */
  bool profile;
  bool stream;
  bool serve; /* for other_network.h */
  bool help;
} bench_options;

/* 0, or -1 after a message on stderr. */
int bench_parse(int count, char **words, bench_options *options);

void bench_print_help(void);

#endif
