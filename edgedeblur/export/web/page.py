"""A web page that runs the quantised network in a browser by WebGPU: one file, with the kernels and weights inside.

The kernels are those of `compile` for GPUs, written as WGSL (compile/gpu/), so the bytes are the integer interpreter's;
the page proves it where it is opened, by the self-test of artefacts (artefact/self_test.py).
"""

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgedeblur.artefact.self_test import make_self_test
from edgedeblur.compile.gpu.build import build_gpu_plan
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.storage.files import write_text

_HERE = Path(__file__).parent


def export_page(network: QuantisedNetwork, path: Path, height: int = 512, width: int = 512) -> None:
    """Writes the page for images of height x width; other pictures are scaled and cropped to it.

    Raises:
        UserError: a size that the network cannot take, a layer that the kernels for GPUs do not have, a file that
            cannot be written.
    """
    page = (_HERE / "page.html").read_text(encoding="utf-8")
    scripts = {f"/* {name} */": (_HERE / name).read_text(encoding="utf-8") for name in ("network.js", "page.js")}
    for place, text in (scripts | {"/* data */": network_data(network, height, width)}).items():
        page = page.replace(place, text)
    write_text(path, page)


@dataclass(frozen=True)
class EmbeddedNetwork:
    """What other pages need to restore by themselves. script: JavaScript with `provenNetwork()`, `restoreAnySize()` and
    `restoreAtHalfScale()`. data: of an element "data" before it, JSON."""

    script: str
    data: str


def embedded_network(network: QuantisedNetwork, height: int, width: int) -> EmbeddedNetwork:
    """The network, in tiles of height x width.

    Raises:
        UserError: a size that the network cannot take, a layer that the kernels for GPUs do not have.
    """
    scripts = ((_HERE / name).read_text(encoding="utf-8") for name in ("network.js", "any_size.js"))
    return EmbeddedNetwork("\n".join(scripts), network_data(network, height, width))


def network_data(network: QuantisedNetwork, height: int, width: int) -> str:
    """The kernels, weights and self-test of a network as JSON that may stand in a script element; errors as of
    `embedded_network`."""
    plan, test = build_gpu_plan(network, height, width, "webgpu"), make_self_test(network, height, width)
    data = {
        "name": network.spec.name,
        "height": height,
        "width": width,
        "multiple": network.spec.multiple,
        "tile": {"height": test.tile.shape[0], "width": test.tile.shape[1], "rgb": _base64(test.tile.tobytes())},
        "sha256": test.sha256.hex(),
        "text": plan.text,
        "buffers": [asdict(buffer) for buffer in plan.buffers],
        "calls": [{"kernel": one.kernel, "arguments": one.arguments, "groups": one.groups} for one in plan.calls],
        "constants": _base64(plan.constants),
    }
    return json.dumps(data).replace("<", "\\u003c")  # so that nothing in it ends the element


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
