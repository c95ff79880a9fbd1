"""edgedeblur: from a DeblurGAN-family generator to an int8 artefact on a phone.

`import edgedeblur as ed` gives the names below; each is loaded when it is first used. docs/python.md shows them.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgedeblur.api import (
        Session,
        UserError,
        bench_artefact,
        compile_network,
        distill_student,
        load_network,
        open_model,
        quantize_student,
    )

__all__ = [
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


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgedeblur import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
