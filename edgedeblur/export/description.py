"""What an exported file says of itself: its tensors, the network that it holds, and what wrote it."""

from edgedeblur import __version__
from edgedeblur.quantize.edq import network_sha256
from edgedeblur.quantize.network import QuantisedNetwork


def description(network: QuantisedNetwork, size: tuple[int, int], form: str) -> dict[str, str]:
    """Keys and values for the file's metadata.

    network_sha256 is that of the `.edq` file and of `manifest.json`, so that a file can be traced to its artefact.
    """
    pixels = f"uint8 [1, {size[0]}, {size[1]}, 3] RGB, NHWC"
    return {
        "edgedeblur_version": __version__,
        "network": network.spec.name,
        "network_sha256": network_sha256(network),
        "form": form,
        "input": f"image: {pixels}",
        "output": f"restored: {pixels}",
    }
