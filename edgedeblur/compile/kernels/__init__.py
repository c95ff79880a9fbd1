"""The int8 convolution kernels as TIR: a few methods, one file per instruction set.

A kernel is a pure function of three values: the layer's numbers (`layer.ConvLayer`), a schedule
(`edgedeblur.compile.schedules.schedule.Schedule`) and an instruction set (`instruction_set.InstructionSet`). Everything
that the layer fuses happens in one pass over memory, task by task:

    tile                 copy the strip's input rows, padded, folded and widened, into scratch that stays in cache
    direct or winograd   accumulate in registers (register_tile), columns of pixels by a block of output channels
    or matrix            the same in registers that hold matrices
    requantise           round, unfold, add the residual, clamp and store
"""

from dataclasses import replace

from edgedeblur.artefact.target import Target
from edgedeblur.artefact.x86_cores import dots_per_cycle
from edgedeblur.compile.kernels.avx2 import AVX2
from edgedeblur.compile.kernels.i8mm import I8MM
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.matrix.amx import AMX
from edgedeblur.compile.kernels.neon import NEON
from edgedeblur.compile.kernels.sdot import SDOT
from edgedeblur.compile.kernels.vnni import AVXVNNI, VNNI
from edgedeblur.errors import UserError

INSTRUCTION_SETS = {isa.name: isa for isa in (AVX2, VNNI, AVXVNNI, AMX, SDOT, I8MM, NEON)}


def instruction_set(name: str) -> InstructionSet:
    """The instruction set that a target names.

    Raises:
        UserError: no such instruction set.
    """
    if name not in INSTRUCTION_SETS:
        raise UserError(f"no kernels for isa {name!r}; there are {', '.join(INSTRUCTION_SETS)}", exit_code=2)
    return INSTRUCTION_SETS[name]


def target_instruction_set(target: Target) -> InstructionSet:
    """The instruction set that a target names, with what is known of its cores.

    Raises:
        UserError: no such instruction set.
    """
    return replace(instruction_set(target.isa), dots_per_cycle=dots_per_cycle(target) or 1.0)
