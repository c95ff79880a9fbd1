/* bench_report.c: the JSON object with times, sizes and peak memory. */
#define _GNU_SOURCE
#include "bench_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "edgedeblur.h"

static void print_string(const char *text) {
  putchar('"');
  for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
    if (*c == '"' || *c == '\\') printf("\\%c", *c);
    else if (*c < 0x20) printf("\\u%04x", *c);
    else putchar(*c);
  }
  putchar('"');
}

/* Pages of one mapping that are in memory; -1 where the system does not tell. */
static long resident_pages(uintptr_t start, uintptr_t end, uintptr_t page) {
  unsigned char present[1024];
  long count = 0;
  while (start < end) {
    const size_t pages = (end - start) / page < sizeof present ? (end - start) / page : sizeof present;
    if (pages == 0 || mincore((void *)start, pages * page, present) != 0) return -1;
    for (size_t i = 0; i < pages; i++) count += present[i] & 1;
    start += pages * page;
  }
  return count;
}

/* Kilobytes of this program's own mappings that are in memory now, which is the most there have been: nothing is freed
 * before the report but the self-test's two images, before the program fills its own two. Of the program's file all pages count that the system caches, whether this process used them or not.
 * For a simulator that shows the program its own mappings in /proc/self/maps, as QEMU does, but in /proc/self/status the
 * simulator's memory. */
static long own_resident_kb(void) {
  const uintptr_t page = (uintptr_t)getpagesize();
  char line[512];
  long pages = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) return -1;
  while (fgets(line, sizeof line, maps) != NULL) {
    char *at, access[5] = "";
    const uintptr_t start = strtoull(line, &at, 16), end = *at == '-' ? strtoull(at + 1, &at, 16) : start;
    sscanf(at, " %4s", access);
    const long found = access[0] == 'r' ? resident_pages(start, end, page) : 0;
    pages += found > 0 ? found : 0;
  }
  fclose(maps);
  return (long)(pages * (long)page / 1024);
}

/* Peak resident kilobytes from the kernel's own high-water mark; in a simulator, this program's part; where there is no
 * /proc, from getrusage. */
static long peak_rss_kb(const char **source) {
  long peak = -1;
  char line[128];
  bool simulated = false;
  FILE *status = fopen("/proc/self/status", "r");
  while (status != NULL && peak < 0 && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "Name:\tqemu-", 11) == 0) simulated = true;
    if (strncmp(line, "VmHWM:", 6) == 0) peak = strtol(line + 6, NULL, 10);
  }
  if (status != NULL) fclose(status);
  *source = simulated ? "mincore" : "VmHWM";
  if (simulated) peak = own_resident_kb();
  if (peak >= 0) return peak;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  *source = "getrusage";
  return usage.ru_maxrss;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The median of column `layer`, through `scratch[sample_count]`. */
static double median_ms(const bench_result *result, int layer, double *scratch) {
  const size_t count = result->sample_count, layers = (size_t)ed_layer_count();
  for (size_t run = 0; run < count; run++) scratch[run] = result->layers_ms[run * layers + (size_t)layer];
  qsort(scratch, count, sizeof *scratch, ascending);
  return (scratch[(count - 1) / 2] + scratch[count / 2]) / 2;
}

/* Column `layer` as it was measured, so that layers can be compared run by run. */
static void print_layer_samples(const bench_result *result, int layer) {
  printf(",\"samples_ms\":[");
  for (size_t run = 0; run < result->sample_count; run++) {
    printf("%s%.6f", run == 0 ? "" : ",", result->layers_ms[run * (size_t)ed_layer_count() + (size_t)layer]);
  }
  printf("]}");
}

static void print_layers(const bench_result *result, double *scratch) {
  printf(",\"layers\":[");
  for (int layer = 0; layer < ed_layer_count(); layer++) {
    printf("%s{\"name\":", layer == 0 ? "" : ",");
    print_string(ed_layer_name(layer));
    printf(",\"macs\":%llu,\"ms\":", (unsigned long long)ed_layer_macs(layer));
    if (result->profiled && result->sample_count > 0) {
      printf("%.6f", median_ms(result, layer, scratch));
      print_layer_samples(result, layer);
    } else {
      printf("null,\"samples_ms\":[]}");
    }
  }
  printf("]");
}

static void print_gpu(const ed_device *gpu) {
  printf(",\"gpu\":{\"name\":");
  print_string(gpu->name);
  printf(",\"driver\":");
  print_string(gpu->driver);
  printf(",\"is_gpu\":%s,\"bytes\":%zu}", gpu->is_gpu ? "true" : "false", gpu->bytes);
}

int bench_print_result(bench_result *result) {
  const char *source;
  const long peak = peak_rss_kb(&source); /* before the report itself takes memory */
  double *scratch = malloc((result->sample_count + 1) * sizeof *scratch);
  if (scratch == NULL) return -1;
  printf("{\"schema_version\":1,\"model\":");
  print_string(ed_name());
  printf(",\"isa\":\"%s\",\"unit\":\"%s\",\"precision\":\"%s\"", ed_isa(), result->unit, result->precision);
  if (result->gpu != NULL) print_gpu(result->gpu);
  printf(",\"height\":%d,\"width\":%d,\"threads\":%d", ed_height(), ed_width(), result->threads);
  printf(",\"interrupted\":%s,\"load_ms\":%.6f", result->interrupted ? "true" : "false", result->load_ms);
  if (result->first_ms >= 0) printf(",\"first_ms\":%.6f", result->first_ms);
  else printf(",\"first_ms\":null");
  printf(",\"samples_ms\":[");
  for (size_t i = 0; i < result->sample_count; i++) printf("%s%.6f", i == 0 ? "" : ",", result->samples_ms[i]);
  printf("],\"peak_rss_kb\":%ld,\"peak_rss_source\":\"%s\"", peak, source);
  printf(",\"arena_bytes\":%zu,\"workspace_bytes\":%zu", ed_arena_bytes(), ed_workspace_bytes());
  printf(",\"weights_bytes\":%zu", ed_weights_bytes());
  if (result->peak_gmacs > 0) printf(",\"peak_gmacs\":%.3f", result->peak_gmacs);
  print_layers(result, scratch);
  printf("}\n");
  free(scratch);
  return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
}
