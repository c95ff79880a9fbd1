/* cpu.h: whether this processor can run the kernels. */
#ifndef EDGEDEBLUR_CPU_H
#define EDGEDEBLUR_CPU_H

#include <stdbool.h>

/* Whether this process can use the instructions. Those that the system allows a process only on request are asked for,
 * once, for all threads. `isa`: ED_ISA_*. */
bool ed_has_isa(int isa);

/* Why the system refuses this process instructions that the processor has: an errno; 0 where it does not. */
int ed_refusal(int isa);

/* "sdot" for ED_ISA_SDOT and so on. */
const char *ed_isa_name(int isa);

/* 0, or -1 with an error that names the missing instructions. `isa`: ED_ISA_*. */
int ed_check_cpu(int isa);

#endif
