"""edgedeblur: from a DeblurGAN-family generator to an int8 artefact on a phone.

`import edgedeblur as ed` gives the names below; each is loaded when it is first used. docs/python.md shows them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgedeblur.api import bench_artefact, compile_network, distill_student, quantize_student
    from edgedeblur.errors import UserError
    from edgedeblur.quantize.edq import load_edq as load_network
    from edgedeblur.restore.open import open_model
    from edgedeblur.runtime.frame import Frame
    from edgedeblur.runtime.session import Session

__all__ = [
    "Frame",
    "Session",
    "UserError",
    "__version__",
    "bench_artefact",
    "compile_network",
    "distill_student",
    "load_network",
    "open_model",
    "quantize_student",
]

_ELSEWHERE = {  # than in api.py; as above
    "Frame": ("edgedeblur.runtime.frame", "Frame"),
    "Session": ("edgedeblur.runtime.session", "Session"),
    "UserError": ("edgedeblur.errors", "UserError"),
    "load_network": ("edgedeblur.quantize.edq", "load_edq"),
    "open_model": ("edgedeblur.restore.open", "open_model"),
}


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own_name = _ELSEWHERE.get(name, ("edgedeblur.api", name))
    return getattr(import_module(module), own_name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
