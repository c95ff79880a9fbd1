/* other_network.c: two processes that take turns: one byte asks for an image, one byte says that it is done. */
#define _GNU_SOURCE
#include "other_network.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEVEL_BYTES = 16, CORES = 64, CORE_BYTES = 4, NUMBER_BYTES = 12, MOST_WORDS = 20 };
static const char *const UNITS[] = {[ED_AUTO] = "auto", [ED_CPU] = "cpu", [ED_GPU] = "gpu"};

typedef struct {
  char levels[MAX_LEVELS * LEVEL_BYTES], cores[CORES * CORE_BYTES], threads[NUMBER_BYTES], canary[NUMBER_BYTES];
  char *words[MOST_WORDS];
} command;

static int complain(const other_network *other, const char *reason) {
  fprintf(stderr, "edgedeblur-bench: %s: %s\n", other->program, reason);
  return -1;
}

static void add(command *line, const char *name, const char *value) {
  char **end = line->words;
  while (*end != NULL) end++;
  *end++ = (char *)name;
  *end = (char *)value;
}

/* The levels of network `index` without their rates, which the governor keeps; the first of them, or NULL. */
static const ed_level *write_levels(char *text, const bench_options *options, int index) {
  const ed_level *first = NULL;
  for (int level = 0; level < options->level_count; level++) {
    const ed_level *own = &options->levels[level];
    if (own->model != index + 1) continue;
    const char *unit = own->unit == ED_AUTO ? "" : UNITS[own->unit];
    text += sprintf(text, "%s%s%s%d", first == NULL ? "" : ",", unit, *unit ? ":" : "", own->threads);
    if (first == NULL) first = own;
  }
  return first;
}

/* As this program's own options, for another network; 0, or -1 where no level is of it. */
static int write_command(command *line, const bench_options *options, int index) {
  const ed_level *first = write_levels(line->levels, options, index);
  if (first == NULL) return -1;
  line->words[0] = (char *)options->networks[index];
  snprintf(line->threads, sizeof line->threads, "%d", first->threads);
  snprintf(line->canary, sizeof line->canary, "%ld", options->canary);
  add(line, "--serve", NULL);
  add(line, "--unit", UNITS[first->unit]);
  add(line, "--threads", line->threads);
  add(line, "--levels", line->levels);
  add(line, "--canary", line->canary);
  char *cores = line->cores;
  for (int core = 0; core < CORES; core++) {
    if (options->cores >> core & 1) cores += sprintf(cores, "%s%d", cores == line->cores ? "" : ",", core);
  }
  if (options->cores != 0) add(line, "--cores", line->cores);
  if (options->gpu_library != NULL) add(line, "--gpu-library", options->gpu_library);
  if (options->cache != NULL) add(line, "--cache", options->cache);
  return 0;
}

static int send_byte(int pipe, unsigned char byte) { return write(pipe, &byte, 1) == 1 ? 0 : -1; }

/* A byte, or -1 where the other side has ended. */
static int receive_byte(int pipe) {
  unsigned char byte;
  ssize_t got;
  do got = read(pipe, &byte, 1);
  while (got < 0 && errno == EINTR);
  return got == 1 ? byte : -1;
}

static int start(other_network *other, command *line) {
  int asking[2], answering[2]; /* closed in programs that are started, so that an end is noticed */
  if (pipe2(asking, O_CLOEXEC) != 0) return complain(other, strerror(errno));
  if (pipe2(answering, O_CLOEXEC) != 0) {
    complain(other, strerror(errno));
    close(asking[0]);
    close(asking[1]);
    return -1;
  }
  other->process = fork();
  if (other->process == 0) {
    if (dup2(asking[0], STDIN_FILENO) >= 0 && dup2(answering[1], STDOUT_FILENO) >= 0) execv(other->program, line->words);
    complain(other, strerror(errno));
    _exit(1);
  }
  const int failed = other->process < 0 ? errno : 0;
  if (failed) other->process = 0;
  close(asking[0]);
  close(answering[1]);
  other->to = asking[1];
  other->from = answering[0];
  return failed ? complain(other, strerror(failed)) : 0;
}

int other_network_begin(other_network *other, const bench_options *options, int index) {
  *other = (other_network){.program = options->networks[index]};
  command line = {.levels = ""};
  if (write_command(&line, options, index) != 0) return complain(other, "no level is of this network");
  signal(SIGPIPE, SIG_IGN); /* its end is an error of a write here */
  if (start(other, &line) != 0) return -1;
  return receive_byte(other->from) >= 0 ? 0 : complain(other, "it did not start");
}

int other_network_run(other_network *other, int place) {
  if (send_byte(other->to, (unsigned char)place) == 0 && receive_byte(other->from) >= 0) return 0;
  return complain(other, "it has ended");
}

void other_network_end(other_network *other) {
  if (other->process == 0) return;
  close(other->to);
  close(other->from);
  while (waitpid(other->process, NULL, 0) < 0 && errno == EINTR) {
  }
  other->process = 0;
}

int other_network_serve(int level_count, int (*run)(void *context, int level), void *context) {
  signal(SIGINT, SIG_IGN); /* who asks ends it */
  signal(SIGTERM, SIG_IGN);
  if (send_byte(STDOUT_FILENO, 1) != 0) return 0;
  for (;;) {
    const int level = receive_byte(STDIN_FILENO);
    if (level < 0 || level >= level_count) return 0;
    if (run(context, level) != 0) return -1;
    if (send_byte(STDOUT_FILENO, 1) != 0) return 0;
  }
}
