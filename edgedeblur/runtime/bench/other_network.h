/* other_network.h: another network that the governor may choose: its own edgedeblur-bench, in a process beside this one.
 *
 * A program holds one network. The other one's is started with --serve, makes its instances and says so; then it restores
 * an image whenever it is told the number of a level, and sleeps in between. */
#ifndef EDGEDEBLUR_OTHER_NETWORK_H
#define EDGEDEBLUR_OTHER_NETWORK_H

#include <stdint.h>
#include <sys/types.h>

#include "bench_options.h"
#include "edgedeblur.h"

typedef struct {
  const char *program;
  pid_t process; /* 0: not started */
  int to, from;  /* pipes */
} other_network;

/* Starts options->networks[index] for those of the levels that are its own. 0, or -1 after a message on stderr. */
int other_network_begin(other_network *other, const bench_options *options, int index);

/* One image by the level `place` of its own, counted from 0. 0, or -1 after a message on stderr. */
int other_network_run(other_network *other, int place);

/* Ends it; does nothing for one that was not started. */
void other_network_end(other_network *other);

/* The other side, --serve: tells `ready`, and calls `run` for each level that is asked for, until nobody asks any more.
 * 0, or -1 where `run` gave -1. */
int other_network_serve(int level_count, int (*run)(void *context, int level), void *context);

#endif
