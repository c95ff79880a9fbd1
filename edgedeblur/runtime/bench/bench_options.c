/* bench_options.c: parses and checks the options of edgedeblur-bench. */
#include "bench_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 1000000, MAX_THREADS = 64, MAX_SECONDS = 86400, CORES = 64, MAX_BUDGET_MS = 60000, MAX_RATE = 1000 };

void bench_print_help(void) {
  puts(
      "edgedeblur-bench: runs the compiled network on one image and prints its times as JSON.\n"
      "\n"
      "  --input FILE      raw RGB bytes, height x width x 3; without it a pseudo-random image\n"
      "  --output FILE     where the restored image goes, in the same form\n"
      "  --runs N          measured runs, 1 to 1000000 (50)\n"
      "  --warmup N        runs before them, after the first, 0 to 1000000 (10)\n"
      "  --min-seconds S   go on after N runs until S seconds have been measured (0)\n"
      "  --threads T       1 to 64; 0 for the target's own number (0)\n"
      "  --cores LIST      run on these cores only, such as 4-7 or 0,2\n"
      "  --unit U          cpu, gpu, or auto: the GPU where there are kernels for it that work, else the CPU (auto)\n"
      "  --gpu-library F   the GPU driver's library instead of the system's\n"
      "  --cache FOLDER    keep what the GPU's driver makes of the kernels there, and take it from there\n"
      "  --canary N        repeat the self-test after every N images; 0 for never (0)\n"
      "  --govern MS       let the governor choose a level every second, so that 90 % of the runs take no longer\n"
      "  --levels LIST     what it may choose, from the best to what heats least: threads, behind @ runs a second at\n"
      "                    most, before : another unit, such as gpu:1,4,4@20,2@10 (the own number of threads);\n"
      "                    in front of all that 2: for the first --network, 3: for the second\n"
      "  --network FILE    the edgedeblur-bench of another network, which levels may name; up to 3\n"
      "  --serve           run an image by one of --levels whenever its number, a byte, comes on stdin, and answer with\n"
      "                    a byte: what --network starts\n"
      "  --zones FOLDER    thermal zones for the governor, where Android forecasts nothing (/sys/class/thermal)\n"
      "  --profile         the median milliseconds of every layer (adds a clock reading per layer)\n"
      "  --stream          tell the measured runs on stderr meanwhile: \"run\", seconds since boot, milliseconds;\n"
      "                    and the governor's readings: \"level\", seconds, the level from now on, headroom\n"
      "  --help            this text\n"
      "\n"
      "SIGINT and SIGTERM end the measurement after the run in progress; what was measured is printed.\n"
      "Exit status: 0 done, 1 the network could not run, 2 bad options.");
}

static int parse_long(const char *name, const char *text, long low, long high, long *value) {
  char *end;
  errno = 0;
  *value = strtol(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && *value >= low && *value <= high) return 0;
  fprintf(stderr, "edgedeblur-bench: --%s %s: a whole number from %ld to %ld is needed\n", name, text, low, high);
  return -1;
}

static int parse_number(const char *name, const char *text, int high, double *value) {
  char *end;
  *value = strtod(text, &end);
  if (end != text && *end == '\0' && *value >= 0 && *value <= high) return 0;
  fprintf(stderr, "edgedeblur-bench: --%s %s: a number from 0 to %d is needed\n", name, text, high);
  return -1;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* "4-7,0" to a mask. */
static int parse_cores(const char *text, uint64_t *mask) {
  const char *at = text;
  *mask = 0;
  while (is_digit(*at)) {
    char *end;
    const unsigned long first = strtoul(at, &end, 10);
    unsigned long last = first;
    if (*end == '-' && is_digit(end[1])) last = strtoul(end + 1, &end, 10);
    if (first > last || last >= CORES) break;
    for (unsigned long core = first; core <= last; core++) *mask |= (uint64_t)1 << core;
    if (*end == '\0') return 0;
    if (*end != ',') break;
    at = end + 1;
  }
  fprintf(stderr, "edgedeblur-bench: --cores %s: a list such as 4-7 or 0,2 is needed, cores 0 to %d\n", text, CORES - 1);
  return -1;
}

/* "gpu:1,4,4@20,2:4@20": of a level without a unit it is that of --unit, without a network the own one. */
static int parse_levels(const char *text, bench_options *options) {
  const char *at = text;
  options->level_count = 0;
  while (options->level_count < MAX_LEVELS) {
    ed_level level = {.unit = options->unit};
    if (is_digit(at[0]) && at[1] == ':') {
      level.model = at[0] - '1';
      if (level.model < 0 || level.model > options->network_count) break;
      at += 2;
    }
    if (strncmp(at, "cpu:", 4) == 0 || strncmp(at, "gpu:", 4) == 0) {
      level.unit = *at == 'c' ? ED_CPU : ED_GPU;
      at += 4;
    }
    if (!is_digit(*at)) break;
    char *end;
    const unsigned long threads = strtoul(at, &end, 10);
    if (*end == '@' && is_digit(end[1])) level.frames_per_second = strtod(end + 1, &end);
    if (threads < 1 || threads > MAX_THREADS || level.frames_per_second > MAX_RATE) break;
    level.threads = (int)threads;
    options->levels[options->level_count++] = level;
    if (*end == '\0') return 0;
    if (*end != ',') break;
    at = end + 1;
  }
  fprintf(stderr, "edgedeblur-bench: --levels %s: a list such as 4,4@20,2@10 is needed, at most %d of 1 to %d threads, of %d networks\n",
          text, MAX_LEVELS, MAX_THREADS, options->network_count + 1);
  return -1;
}

static int parse_unit(const char *text, ed_processor *unit) {
  static const char *const names[] = {[ED_AUTO] = "auto", [ED_CPU] = "cpu", [ED_GPU] = "gpu"};
  for (int i = ED_AUTO; i <= ED_GPU; i++) {
    if (strcmp(text, names[i]) != 0) continue;
    *unit = (ed_processor)i;
    return 0;
  }
  fprintf(stderr, "edgedeblur-bench: --unit %s: cpu, gpu or auto is needed\n", text);
  return -1;
}

static int add_network(const char *program, bench_options *options) {
  if (options->network_count < MAX_NETWORKS) {
    options->networks[options->network_count++] = program;
    return 0;
  }
  fprintf(stderr, "edgedeblur-bench: --network %s: at most %d\n", program, MAX_NETWORKS);
  return -1;
}

/* `levels` is read when all other options are known. */
static int set_option(int letter, const char *text, bench_options *options, const char **levels) {
  long number = 0;
  int status = 0;
  switch (letter) {
    case 'i': options->input = text; break;
    case 'o': options->output = text; break;
    case 'r': status = parse_long("runs", text, 1, MAX_RUNS, &options->runs); break;
    case 'w': status = parse_long("warmup", text, 0, MAX_RUNS, &options->warmup); break;
    case 's': status = parse_number("min-seconds", text, MAX_SECONDS, &options->min_seconds); break;
    case 'v': status = parse_number("govern", text, MAX_BUDGET_MS, &options->govern_ms); break;
    case 'l': *levels = text; break;
    case 'z': options->zones = text; break;
    case 'k': status = add_network(text, options); break;
    case 'f': options->serve = true; break;
    case 't':
      status = parse_long("threads", text, 0, MAX_THREADS, &number);
      options->threads = (int)number;
      break;
    case 'c': status = parse_cores(text, &options->cores); break;
    case 'u': status = parse_unit(text, &options->unit); break;
    case 'g': options->gpu_library = text; break;
    case 'a': options->cache = text; break;
    case 'n': status = parse_long("canary", text, 0, MAX_RUNS, &options->canary); break;
    case 'p': options->profile = true; break;
    case 'e': options->stream = true; break;
    case 'h': options->help = true; break;
    default: status = -1; /* getopt has said what is wrong */
  }
  return status;
}

int bench_parse(int count, char **words, bench_options *options) {
  static const struct option known[] = {
      {"input", required_argument, NULL, 'i'},       {"output", required_argument, NULL, 'o'},
      {"runs", required_argument, NULL, 'r'},        {"warmup", required_argument, NULL, 'w'},
      {"min-seconds", required_argument, NULL, 's'}, {"threads", required_argument, NULL, 't'},
      {"cores", required_argument, NULL, 'c'},       {"profile", no_argument, NULL, 'p'},
      {"stream", no_argument, NULL, 'e'},            {"unit", required_argument, NULL, 'u'},
      {"canary", required_argument, NULL, 'n'},      {"gpu-library", required_argument, NULL, 'g'},
      {"cache", required_argument, NULL, 'a'},       {"govern", required_argument, NULL, 'v'},
      {"levels", required_argument, NULL, 'l'},      {"zones", required_argument, NULL, 'z'},
      {"network", required_argument, NULL, 'k'},     {"serve", no_argument, NULL, 'f'},
      {"help", no_argument, NULL, 'h'},              {NULL, 0, NULL, 0}};
  *options = (bench_options){.runs = 50, .warmup = 10, .zones = "/sys/class/thermal"};
  const char *levels = NULL;
  int letter;
  while ((letter = getopt_long(count, words, "", known, NULL)) != -1) {
    if (set_option(letter, optarg, options, &levels) != 0) return -1;
  }
  if (optind != count) {
    fprintf(stderr, "edgedeblur-bench: %s: no such option; see --help\n", words[optind]);
    return -1;
  }
  if (options->network_count > 0 && (options->profile || options->govern_ms == 0)) {
    fputs("edgedeblur-bench: --network is for --govern, without --profile\n", stderr);
    return -1;
  }
  options->levels[0] = (ed_level){.unit = options->unit, .threads = options->threads};
  options->level_count = 1;
  return levels == NULL ? 0 : parse_levels(levels, options);
}
