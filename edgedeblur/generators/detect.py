"""Which known generator a file holds, and, when it holds none, a table that says how near it came."""

from pathlib import Path

from torch import Tensor

from edgedeblur.errors import UserError
from edgedeblur.generators.layouts import LAYOUTS, Fit, fit
from edgedeblur.generators.weight_file import TensorDict

_NAMES_SHOWN = 4
_FIX_OTHER = "another architecture: give package.module:callable and --weights FILE, or a TorchScript file"


def best_fit(path: Path, dicts: list[TensorDict]) -> Fit:
    """The layout that the names and shapes in a file agree with.

    Raises:
        UserError: none does; the message is a table of what was looked for and what was found.
    """
    fits = [fit(layout, found.tensors) for found in dicts for layout in LAYOUTS]
    exact = [one for one in fits if one.exact]
    if exact:
        return exact[0]
    raise UserError(_table(path, fits, dicts), _FIX_OTHER)


def _table(path: Path, fits: list[Fit], dicts: list[TensorDict]) -> str:
    nearest = max(fits, key=lambda one: one.found / one.wanted)
    rows = [max((one for one in fits if one.layout is layout), key=lambda one: one.found) for layout in LAYOUTS]
    lines = [
        f"{path} holds no generator that edgedeblur knows. Looked for, by names and shapes:",
        f"  {'layout':<28}{'found':>14}{'missing':>10}{'unexpected':>12}{'other shape':>13}",
        *(
            f"  {one.layout.name:<28}{f'{one.found} of {one.wanted}':>14}{len(one.missing):>10}"
            f"{len(one.unexpected):>12}{len(one.misshapen):>13}"
            for one in rows
        ),
        f"  {'U-Net (edgedeblur train)':<28}{'no metadata':>14}",
    ]
    return "\n".join(lines + _details(nearest, dicts[0].tensors))


def _details(nearest: Fit, tensors: dict[str, Tensor]) -> list[str]:
    if nearest.found == 0:
        return [f"None is near. The file has {len(tensors)} tensors: {_few(tuple(tensors))}"]
    lists = {"missing": nearest.missing, "unexpected": nearest.unexpected, "other shape": nearest.misshapen}
    return [f"Nearest is {nearest.layout.name}:"] + [
        f"  {name}: {_few(names)}" for name, names in lists.items() if names
    ]


def _few(names: tuple[str, ...]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
