"""A web page that runs the quantised network in a browser by WebGPU: one file, with the kernels and weights inside.

The kernels are those of `compile` for GPUs, written as WGSL (compile/gpu/), so the bytes are the integer interpreter's;
the page proves it where it is opened, by the self-test of artefacts (artefact/self_test.py).
"""

import base64
import json
from dataclasses import asdict
from pathlib import Path

from edgedeblur.artefact.self_test import make_self_test
from edgedeblur.compile.gpu.build import build_gpu_plan
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.storage.files import write_text

_TEMPLATE = Path(__file__).with_name("page.html")
_SCRIPT = Path(__file__).with_name("page.js")


def export_page(network: QuantisedNetwork, path: Path, height: int = 512, width: int = 512) -> None:
    """Writes the page for images of height x width; other pictures are scaled and cropped to it.

    Raises:
        UserError: a size that the network cannot take, a layer that the kernels for GPUs do not have, a file that
            cannot be written.
    """
    plan, test = build_gpu_plan(network, height, width, "webgpu"), make_self_test(network, height, width)
    data = {
        "name": network.spec.name,
        "height": height,
        "width": width,
        "tile": {"height": test.tile.shape[0], "width": test.tile.shape[1], "rgb": _base64(test.tile.tobytes())},
        "sha256": test.sha256.hex(),
        "text": plan.text,
        "buffers": [asdict(buffer) for buffer in plan.buffers],
        "calls": [{"kernel": one.kernel, "arguments": one.arguments, "groups": one.groups} for one in plan.calls],
        "constants": _base64(plan.constants),
    }
    inside = json.dumps(data).replace("<", "\\u003c")  # so that nothing in it ends the element
    page = _TEMPLATE.read_text(encoding="utf-8").replace("/* page.js */", _SCRIPT.read_text(encoding="utf-8"))
    write_text(path, page.replace("/* data */", inside))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
