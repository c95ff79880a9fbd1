"""How a kernel is cut up and unrolled: the rule, tuned schedules, which one a layer gets."""
