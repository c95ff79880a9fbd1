"""Kernels of layers without weights: one pass over memory each, the same TIR for every instruction set."""
