"""How many `vpdpbusd` of full width cores start in a cycle: 64 bytes by AVX-512 VNNI, 32 where there is only AVX-VNNI.

Two of 64: Intel's server cores from Ice Lake on have a second 512-bit multiplier behind port 5 (256 operations of int8
per cycle and core by VNNI: Intel's brief on Advanced Matrix Extensions); client cores have one (WikiChip, Sunny Cove).
One: Zen 4, whose pipes have 256 bits (AMD 57647, its optimization guide; probe.c measured 1.00).
Two of 32: the large cores of Alder Lake (uops.info). Models whose cores differ are not in the table: Cascade Lake, some
of which have one multiplier, and Zen 5, whose mobile cores have narrower pipes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedeblur.artefact.target import Target

_BY_LLVM_NAME = {
    **dict.fromkeys(("icelake-server", "sapphirerapids", "emeraldrapids", "graniterapids"), 2.0),
    **dict.fromkeys(("icelake-client", "tigerlake", "rocketlake", "znver4"), 1.0),
    **dict.fromkeys(("alderlake", "raptorlake"), 2.0),
}
_ICE_LAKE_CLIENT, _TIGER_LAKE, _ROCKET_LAKE = (0x7D, 0x7E), (0x8C, 0x8D), (0xA7,)
_ICE_LAKE_SERVER, _SAPPHIRE_RAPIDS, _EMERALD_RAPIDS, _GRANITE_RAPIDS = (0x6A,), (0x8F,), (0xCF,), (0xAD,)
_ALDER_LAKE, _RAPTOR_LAKE = (0x97, 0x9A), (0xB7, 0xBA, 0xBF)
_ZEN4 = (*range(0x10, 0x20), *range(0x60, 0x80), *range(0xA0, 0xB0))
# By vendor, family and model, as /proc/cpuinfo has them.
_BY_MODEL = {
    **{("GenuineIntel", 6, model): 1.0 for model in (*_ICE_LAKE_CLIENT, *_TIGER_LAKE, *_ROCKET_LAKE)},
    **{("GenuineIntel", 6, model): 2.0 for model in (*_ICE_LAKE_SERVER, *_SAPPHIRE_RAPIDS, *_EMERALD_RAPIDS)},
    **{("GenuineIntel", 6, model): 2.0 for model in (*_GRANITE_RAPIDS, *_ALDER_LAKE, *_RAPTOR_LAKE)},
    **{("AuthenticAMD", 0x19, model): 1.0 for model in _ZEN4},
}


def dots_per_cycle(target: "Target") -> float | None:
    """Of a target's cores: what its file says, else by its cpu's name; None where that is not known."""
    return target.dots_per_cycle or _BY_LLVM_NAME.get(target.cpu)


def dots_per_cycle_of_model(vendor: str, family: int, model: int) -> float | None:
    """Of a processor by what it says of itself; None for one that is not in the table."""
    return _BY_MODEL.get((vendor, family, model))
