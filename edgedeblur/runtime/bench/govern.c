/* govern.c: keeps to the level that ed_govern chooses: its network, instance and frame rate; a reading every second. */
#include "govern.h"

#include <stdlib.h>
#include <time.h>

#include "headroom.h"

enum { FORECAST_S = 10 };
static const double READING_S = 1;

/* Since boot, as the runs are told. */
static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int alike(const ed_level *one, const ed_level *other) {
  return one->model == other->model && one->unit == other->unit && one->threads == other->threads;
}

int bench_govern_begin(bench_governed *governed, const bench_options *options, ed_model *first) {
  const ed_level own = {.unit = options->unit, .threads = options->threads};
  governed->options = options;
  for (int level = 0; level < options->level_count; level++) {
    const ed_level *wanted = &options->levels[level];
    for (int before = 0; before < level; before++) governed->places[level] += options->levels[before].model == wanted->model;
    if (wanted->model != 0) continue;
    ed_model *model = alike(wanted, &own) ? first : NULL;
    for (int before = 0; before < level && model == NULL; before++) {
      if (alike(wanted, &options->levels[before])) model = governed->models[before];
    }
    if (model == NULL) {
      model = ed_create(&(ed_options){wanted->threads, options->cores, wanted->unit, 0, options->gpu_library, options->cache});
    }
    if (model == NULL) return -1;
    governed->models[level] = model;
  }
  for (int index = 0; index < options->network_count; index++) {
    if (other_network_begin(&governed->networks[index], options, index) != 0) return -1;
  }
  governed->next_s = now_s();
  governed->read_s = governed->next_s + READING_S;
  return 0;
}

void bench_govern_wait(bench_governed *governed, const volatile sig_atomic_t *interrupted) {
  const double rate = governed->options->levels[governed->governor.level].frames_per_second;
  double now = now_s();
  while (rate > 0 && now < governed->next_s && !*interrupted) {
    const double wait = governed->next_s - now < 0.1 ? governed->next_s - now : 0.1;
    nanosleep(&(struct timespec){0, (long)(wait * 1e9)}, NULL);
    now = now_s();
  }
  /* A frame that comes late does not make the following ones come sooner. */
  if (rate > 0) governed->next_s = (now - governed->next_s < 1 / rate ? governed->next_s : now) + 1 / rate;
  else governed->next_s = now;
}

int bench_govern_run(bench_governed *governed, const uint8_t *in, uint8_t *out, double *layer_ms) {
  const int level = governed->governor.level, network = governed->options->levels[level].model;
  if (network > 0) return other_network_run(&governed->networks[network - 1], governed->places[level]);
  ed_model *model = governed->models[level];
  return layer_ms != NULL ? ed_run_profiled(model, in, out, layer_ms) : ed_run(model, in, out);
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int bench_govern_frame(bench_governed *governed, double elapsed_ms) {
  if (governed->recent_count < GOVERNED_FRAMES) governed->recent_ms[governed->recent_count++] = elapsed_ms;
  const double now = now_s();
  if (now < governed->read_s) return 0;
  governed->read_s = now + READING_S;
  qsort(governed->recent_ms, (size_t)governed->recent_count, sizeof(double), ascending);
  governed->reading = (ed_reading){
      .seconds = now,
      .p90_ms = governed->recent_ms[(governed->recent_count * 9 + 9) / 10 - 1], /* by nearest rank */
      .headroom = ed_headroom(FORECAST_S, governed->options->zones),
  };
  governed->recent_count = 0;
  const bench_options *options = governed->options;
  return ed_govern(&governed->governor, options->level_count, options->govern_ms, &governed->reading) < 0 ? -1 : 1;
}

void bench_govern_end(bench_governed *governed, ed_model *first) {
  for (int index = 0; index < MAX_NETWORKS; index++) other_network_end(&governed->networks[index]);
  for (int level = 0; level < MAX_LEVELS; level++) {
    ed_model *model = governed->models[level];
    for (int later = level; later < MAX_LEVELS; later++) {
      if (governed->models[later] == model) governed->models[later] = NULL;
    }
    if (model != first) ed_destroy(model);
  }
}
