/* governor.c: which way of running a phone can keep up: a pure function of what was measured. */
#include <stdbool.h>

#include "edgedeblur.h"
#include "error.h"

/* Shares of the budget and of the headroom. Between LATE and EASY, and between HOT and WARM, nothing changes. */
static const double LATE = 0.95, EASY = 0.8, HOT = 0.95, WARM = 0.85;
static const double SETTLE_S = 5;    /* from a change of level to the next one down, so that its effect is seen */
static const double PATIENCE_S = 30; /* at first; doubled when a better level had to be left again, */
static const double MOST_PATIENCE_S = 480;
static const double PROVED_S = 120; /* and as at first again when it has held for so long */

static int change(ed_governor *governor, int level, double now) {
  governor->raised = level < governor->level;
  governor->level = level;
  governor->changed = governor->uneasy = now;
  return level;
}

int ed_govern(ed_governor *governor, int level_count, double budget_ms, const ed_reading *reading) {
  if (governor == NULL || reading == NULL) return ed_fail("NULL is no governor and no reading");
  if (level_count < 1 || governor->level < 0 || governor->level >= level_count) {
    return ed_fail("level %d of %d", governor->level, level_count);
  }
  if (!(budget_ms > 0)) return ed_fail("a budget of %g ms", budget_ms);
  const double now = reading->seconds;
  if (!(now >= governor->changed)) return ed_fail("a reading at %g s after a change at %g s", now, governor->changed);
  if (governor->patience == 0) governor->patience = PATIENCE_S;

  const bool late = reading->p90_ms > LATE * budget_ms, hot = reading->headroom >= HOT; /* NAN is neither */
  const bool uneasy = reading->p90_ms > EASY * budget_ms || reading->headroom >= WARM;
  if (uneasy) governor->uneasy = now;
  const double held = now - governor->changed;
  if ((late || hot) && governor->level + 1 < level_count && held >= SETTLE_S) {
    if (governor->raised && held < PROVED_S) {
      const double twice = 2 * governor->patience;
      governor->patience = twice < MOST_PATIENCE_S ? twice : MOST_PATIENCE_S;
    }
    return change(governor, governor->level + 1, now);
  }
  if (governor->raised && held >= PROVED_S) governor->patience = PATIENCE_S;
  if (governor->level > 0 && now - governor->uneasy >= governor->patience) {
    return change(governor, governor->level - 1, now);
  }
  return governor->level;
}
