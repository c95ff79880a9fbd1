/* bench.c: edgedeblur-bench: loads the network, runs it on one image, reports. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench_options.h"
#include "bench_report.h"
#include "edgedeblur.h"
#include "govern.h"
#include "other_network.h"
#include "peak.h"

enum { TELL_MS = 250, LINE_BYTES = 64 };

static volatile sig_atomic_t interrupted;

static void interrupt(int signal) {
  (void)signal;
  interrupted = 1;
}

static void catch_signals(void) {
  signal(SIGINT, interrupt);
  signal(SIGTERM, interrupt);
}

static double milliseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static size_t image_bytes(void) { return (size_t)ed_height() * (size_t)ed_width() * 3; }

static int complain(const char *file, const char *reason) {
  fprintf(stderr, "edgedeblur-bench: %s: %s\n", file, reason);
  return -1;
}

static int read_image(const char *file, uint8_t *image) {
  FILE *stream = fopen(file, "rb");
  if (stream == NULL) return complain(file, strerror(errno));
  setvbuf(stream, NULL, _IONBF, 0); /* straight into the image */
  const size_t got = fread(image, 1, image_bytes(), stream);
  const int more = fgetc(stream) != EOF;
  fclose(stream);
  if (got == image_bytes() && !more) return 0;
  fprintf(stderr, "edgedeblur-bench: %s: %s than %d x %d x 3 = %zu bytes\n", file, more ? "more" : "fewer", ed_height(),
          ed_width(), image_bytes());
  return -1;
}

static int write_image(const char *file, const uint8_t *image) {
  FILE *stream = fopen(file, "wb");
  if (stream == NULL) return complain(file, strerror(errno));
  setvbuf(stream, NULL, _IONBF, 0);
  const size_t put = fwrite(image, 1, image_bytes(), stream);
  if (fclose(stream) != 0 || put != image_bytes()) return complain(file, strerror(errno));
  return 0;
}

/* The same noise everywhere: xorshift32 (Marsaglia, 2003). */
static void fill_with_noise(uint8_t *image) {
  uint32_t state = 2463534242u;
  for (size_t i = 0; i < image_bytes(); i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    image[i] = (uint8_t)(state >> 24);
  }
}

static int stay_on(uint64_t cores) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  for (size_t core = 0; core < 64; core++) {
    if (cores >> core & 1) CPU_SET(core, &allowed);
  }
  if (sched_setaffinity(0, sizeof allowed, &allowed) == 0) return 0;
  return complain("--cores", strerror(errno));
}

static int run_once(ed_model *model, const uint8_t *in, uint8_t *out, double *layer_ms, double *elapsed_ms) {
  const double start = milliseconds(CLOCK_MONOTONIC);
  const int status = layer_ms != NULL ? ed_run_profiled(model, in, out, layer_ms) : ed_run(model, in, out);
  *elapsed_ms = milliseconds(CLOCK_MONOTONIC) - start;
  return status;
}

/* The same by the level that the governor has chosen, at its time. */
static int run_governed(bench_governed *governed, const uint8_t *in, uint8_t *out, double *layer_ms, double *elapsed_ms) {
  bench_govern_wait(governed, &interrupted);
  const double start = milliseconds(CLOCK_MONOTONIC);
  const int status = bench_govern_run(governed, in, out, layer_ms);
  *elapsed_ms = milliseconds(CLOCK_MONOTONIC) - start;
  return status;
}

/* Lines for --stream. They go out a few times a second: often enough to lose little when the link breaks, and seldom
 * enough that whoever passes them on does not take a core from the runs. */
static struct {
  char text[4096];
  size_t used;
  double sent_ms;
} told;

static void send_told(void) {
  if (write(STDERR_FILENO, told.text, told.used) != (ssize_t)told.used) interrupted = 1; /* nobody listens any more */
  told.used = 0;
}

/* The clock is that of /proc/uptime, to which temperatures and clocks read meanwhile can be related. */
static void tell(double elapsed_ms, const bench_governed *reading) {
  const double now_ms = milliseconds(CLOCK_BOOTTIME);
  char *end = told.text + told.used;
  told.used += (size_t)snprintf(end, sizeof told.text - told.used, "run %.3f %.6f\n", now_ms * 1e-3, elapsed_ms);
  if (reading != NULL) {
    end = told.text + told.used;
    told.used += (size_t)snprintf(end, sizeof told.text - told.used, "level %.3f %d %.3f\n", reading->reading.seconds,
                                  reading->governor.level, reading->reading.headroom);
  }
  if (now_ms - told.sent_ms < TELL_MS && told.used + 2 * LINE_BYTES <= sizeof told.text) return;
  send_told();
  told.sent_ms = now_ms;
}

/* Room for one more sample; the arrays double. */
static int grow(bench_result *result, size_t *capacity) {
  if (result->sample_count < *capacity) return 0;
  const size_t larger = *capacity == 0 ? 64 : *capacity * 2;
  double *samples = realloc(result->samples_ms, larger * sizeof *samples);
  if (samples == NULL) return -1;
  result->samples_ms = samples;
  if (result->profiled) {
    const size_t row = (size_t)ed_layer_count() * sizeof(double);
    double *layers = realloc(result->layers_ms, larger * row);
    if (layers == NULL) return -1;
    result->layers_ms = layers;
  }
  *capacity = larger;
  return 0;
}

/* One measured run, by the governor where that is not NULL. */
static int measured_run(ed_model *model, const bench_options *options, bench_governed *governed, const uint8_t *in,
                        uint8_t *out, double *layer_ms, double *elapsed_ms) {
  const int status = governed != NULL ? run_governed(governed, in, out, layer_ms, elapsed_ms)
                                      : run_once(model, in, out, layer_ms, elapsed_ms);
  if (status != 0) return -1;
  const int is_read = governed != NULL ? bench_govern_frame(governed, *elapsed_ms) : 0;
  if (is_read < 0) return -1;
  if (options->stream) tell(*elapsed_ms, is_read ? governed : NULL);
  return 0;
}

static int measure(ed_model *model, const bench_options *options, bench_governed *governed, const uint8_t *in,
                   uint8_t *out, bench_result *result) {
  double elapsed_ms;
  if (!interrupted && run_once(model, in, out, NULL, &result->first_ms) != 0) return -1;
  for (long run = 0; run < options->warmup && !interrupted; run++) {
    if (run_once(model, in, out, NULL, &elapsed_ms) != 0) return -1;
  }
  size_t capacity = 0;
  const double end = milliseconds(CLOCK_MONOTONIC) + options->min_seconds * 1e3;
  while (!interrupted && ((long)result->sample_count < options->runs || milliseconds(CLOCK_MONOTONIC) < end)) {
    if (grow(result, &capacity) != 0) return complain("samples", "no memory");
    double *row = result->profiled ? result->layers_ms + result->sample_count * (size_t)ed_layer_count() : NULL;
    if (row != NULL) memset(row, 0, (size_t)ed_layer_count() * sizeof *row);
    if (measured_run(model, options, governed, in, out, row, &elapsed_ms) != 0) return -1;
    result->samples_ms[result->sample_count++] = elapsed_ms;
  }
  if (told.used > 0) send_told();
  return 0;
}

static ed_model *create(const bench_options *options, double *load_ms) {
  const ed_options asked = {options->threads, options->cores, options->unit, (uint32_t)options->canary,
                            options->gpu_library, options->cache};
  const double start = milliseconds(CLOCK_MONOTONIC);
  ed_model *model = ed_create(&asked);
  *load_ms = milliseconds(CLOCK_MONOTONIC) - start;
  if (model == NULL) complain(ed_name(), ed_last_error());
  return model;
}

typedef struct {
  bench_governed *governed;
  const uint8_t *in;
  uint8_t *out;
} served;

static int run_level(void *context, int level) {
  const served *what = context;
  what->governed->governor.level = level;
  return bench_govern_run(what->governed, what->in, what->out, NULL);
}

/* --serve: the instances of the levels, for whoever asks on stdin. */
static int serve(ed_model *model, const bench_options *options, const uint8_t *in, uint8_t *out) {
  static bench_governed governed; /* all zero at first */
  int status = bench_govern_begin(&governed, options, model);
  if (status == 0) status = other_network_serve(options->level_count, run_level, &(served){&governed, in, out});
  bench_govern_end(&governed, model);
  return status == 0 ? 0 : complain(ed_name(), ed_last_error());
}

static int bench(ed_model *model, const bench_options *options, double load_ms, const uint8_t *in, uint8_t *out) {
  bench_result result = {.profiled = options->profile, .load_ms = load_ms, .first_ms = -1.0};
  static bench_governed governed; /* all zero at first */
  const bool governs = options->govern_ms > 0;
  int status = governs ? bench_govern_begin(&governed, options, model) : 0;
  if (status == 0) status = measure(model, options, governs ? &governed : NULL, in, out, &result);
  bench_govern_end(&governed, model);
  if (status != 0) {
    if (*ed_last_error() != '\0') complain(ed_name(), ed_last_error()); /* of another network it was told before */
  } else {
    result.threads = ed_threads(model);
    result.unit = ed_unit(model) == ED_GPU ? "gpu" : "cpu";
    result.gpu = ed_gpu(model);
    result.precision = ed_precision(model);
    if (result.gpu == NULL && *ed_last_error() != '\0') {
      fprintf(stderr, "edgedeblur-bench: the CPU computes: %s\n", ed_last_error());
    }
    if (strcmp(result.precision, "fp16") == 0) {
      fprintf(stderr, "edgedeblur-bench: the GPU computes in fp16: not the integer interpreter's bytes\n");
    }
    result.interrupted = interrupted != 0;
    if (options->profile && result.gpu == NULL) result.peak_gmacs = bench_peak_gmacs(ed_isa());
    if (options->output != NULL && result.first_ms >= 0) status = write_image(options->output, out);
    if (status == 0) status = bench_print_result(&result);
  }
  free(result.samples_ms);
  free(result.layers_ms);
  return status;
}

int main(int count, char **words) {
  bench_options options;
  if (bench_parse(count, words, &options) != 0) return 2;
  if (options.help) return bench_print_help(), 0;
  catch_signals();
  if (options.cores != 0 && stay_on(options.cores) != 0) return 2;
  double load_ms; /* the images are filled after it, when the self-test has freed its own: the peak is not theirs together */
  ed_model *model = create(&options, &load_ms);
  uint8_t *in = malloc(image_bytes()), *out = malloc(image_bytes());
  int status = 1;
  if (in == NULL || out == NULL) {
    complain("images", "no memory");
  } else if (options.input != NULL && read_image(options.input, in) != 0) {
    status = 2;
  } else if (model != NULL) {
    if (options.input == NULL) fill_with_noise(in);
    status = (options.serve ? serve(model, &options, in, out) : bench(model, &options, load_ms, in, out)) == 0 ? 0 : 1;
  }
  ed_destroy(model);
  free(in);
  free(out);
  return status;
}
