"""From a quantised network to an artefact: Relax graph, TIR kernels, memory plan, emitted C, linked by zig."""
