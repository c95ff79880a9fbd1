/* headroom.c: how far the machine is from throttling: Android's own forecast, else the kernel's thermal zones. */
#include "headroom.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "edgedeblur.h"

enum { ZONES = 128, TRIPS = 12 }; /* that are looked at; phones have up to some hundred zones */
static const double SCALE_K = 30; /* from headroom 0 to 1: ThermalManagerService.java */
static const double LEAST_C = 40, MOST_C = 130; /* of trip points that are taken for one */

/* The first line of a zone's file, without its end; false where there is none. */
static bool read_line(const char *folder, int zone, const char *file, char *line, int size) {
  char path[512];
  if (snprintf(path, sizeof path, "%s/thermal_zone%d/%s", folder, zone, file) >= (int)sizeof path) return false;
  FILE *stream = fopen(path, "r");
  if (stream == NULL) return false;
  const bool found = fgets(line, size, stream) != NULL;
  fclose(stream);
  if (found) line[strcspn(line, "\n")] = '\0';
  return found;
}

/* Thousandths of a degree, as the kernel counts, in degrees Celsius; NAN where there is no number. */
static double degrees(const char *folder, int zone, const char *file) {
  char line[32];
  double value;
  if (!read_line(folder, zone, file, line, sizeof line) || sscanf(line, "%lf", &value) != 1) return NAN;
  return value / 1000;
}

/* Of a zone: the lowest temperature from which on the kernel lowers clocks; NAN where it never does. */
static double trip_c(const char *folder, int zone) {
  double lowest = NAN;
  for (int trip = 0; trip < TRIPS; trip++) {
    char file[32], kind[32];
    snprintf(file, sizeof file, "trip_point_%d_type", trip);
    if (!read_line(folder, zone, file, kind, sizeof kind)) break;
    if (strcmp(kind, "passive") != 0) continue;
    snprintf(file, sizeof file, "trip_point_%d_temp", trip);
    const double at = degrees(folder, zone, file);
    if (at >= LEAST_C && at <= MOST_C && !(lowest <= at)) lowest = at;
  }
  return lowest;
}

/* The highest of all zones; NAN where none lowers clocks or none can be read. */
static double zone_headroom(const char *folder) {
  double highest = NAN;
  for (int zone = 0; zone < ZONES; zone++) {
    const double trip = trip_c(folder, zone), now = degrees(folder, zone, "temp");
    if (isnan(trip) || isnan(now) || now > 2 * MOST_C) continue;
    const double headroom = now > trip - SCALE_K ? (now - trip + SCALE_K) / SCALE_K : 0;
    if (!(headroom <= highest)) highest = headroom; /* NAN at first */
  }
  return highest;
}

#if defined(__ANDROID__)
#include <dlfcn.h>
#include <pthread.h>

/* android/thermal.h; found at run time, since phones before Android 12 (API 31) lack it. */
static void *manager;
static float (*forecast)(void *, int);

static void find_thermal_manager(void) {
  void *library = dlopen("libandroid.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return;
  void *(*acquire)(void);
  *(void **)&acquire = dlsym(library, "AThermal_acquireManager");
  *(void **)&forecast = dlsym(library, "AThermal_getThermalHeadroom");
  if (acquire != NULL && forecast != NULL) manager = acquire();
}

static double android_headroom(int seconds) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, find_thermal_manager);
  return manager != NULL ? (double)forecast(manager, seconds) : NAN;
}
#else
static double android_headroom(int seconds) {
  (void)seconds;
  return NAN;
}
#endif

double ed_headroom(int forecast_seconds, const char *zones) {
  const double told = android_headroom(forecast_seconds);
  return isnan(told) ? zone_headroom(zones) : told;
}

double ed_thermal_headroom(int forecast_seconds) { return ed_headroom(forecast_seconds, "/sys/class/thermal"); }
