"""The student's layers for GPUs: TIR with thread bindings, from which TVM writes source text for the driver to compile.

The same integers as on the CPU, so the same bytes. In the order of a layer's way:

    tensor        how activations lie in memory: words of four channels
    schedule      how a layer is cut into work items and work groups
    convolution   a layer's kernel, with what is fused into it; fold: space-to-depth; gate: a gate's scales
    pack          the constants in the order in which the kernels read them
    graph         the kernels in order, and where their tensors lie
    source        the text, with a page of prelude for each language
"""
