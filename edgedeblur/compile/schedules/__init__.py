"""How a kernel is cut up and unrolled: the default, tuned schedules, which one a layer gets."""
