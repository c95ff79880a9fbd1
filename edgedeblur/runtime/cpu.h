/* cpu.h: whether this processor can run the kernels. */
#ifndef EDGEDEBLUR_CPU_H
#define EDGEDEBLUR_CPU_H

/* 0, or -1 with an error that names the missing instructions. `isa`: ED_ISA_*. */
int ed_check_cpu(int isa);

#endif
