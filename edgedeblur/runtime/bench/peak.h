/* peak.h: the most that the network's dot-product instruction can do on this core. */
#ifndef EDGEDEBLUR_PEAK_H
#define EDGEDEBLUR_PEAK_H

/* 10^9 int8 multiply-accumulates a second of one core, by the instructions that the direct kernels for the instruction
 * set `isa` (ed_isa()) multiply with, from registers and without waiting for each other. Takes some 20 ms. */
double bench_peak_gmacs(const char *isa);

#endif
