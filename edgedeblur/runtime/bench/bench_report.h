/* bench_report.h: what edgedeblur-bench prints. */
#ifndef EDGEDEBLUR_BENCH_REPORT_H
#define EDGEDEBLUR_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "edgedeblur.h"

typedef struct {
  int threads;
  const char *unit; /* that computed the last image */
  const ed_device *gpu; /* NULL: the CPU did */
  const char *precision; /* ed_precision */
  bool interrupted;
  bool profiled;
  double load_ms;  /* ed_create */
  double first_ms; /* the first run; negative where there was none */
  double *samples_ms;
  size_t sample_count;
  double peak_gmacs; /* of one core; 0 where it was not measured */
  double *layers_ms; /* of profiled runs, one row of ed_layer_count() after the other */
} bench_result;

/* One JSON object on stdout; 0, or -1 when it could not be written whole. */
int bench_print_result(bench_result *result);

#endif
