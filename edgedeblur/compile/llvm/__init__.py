"""From TIR to machine code by LLVM: the passes, the processors that it knows, and its assembly as an object."""
