"""The float16 form: the float student on a GPU, beside the exact int8 network on the CPU.

network     the student's weights as the kernels compute with them
prelude     what the kernels call, by language
gate        a gate's kernels
pack        the constants in the order in which the kernels read them
reference   what the self-test compares with, and how far a GPU may be from it
"""
