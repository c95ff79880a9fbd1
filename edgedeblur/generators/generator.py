"""A loaded generator: images in [0, 1] in and out, of any size, whatever network is inside."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.padding import Padding
from edgedeblur.storage import digests


@dataclass(frozen=True)
class GeneratorInfo:
    """What a generator is.

    family: "deblurgan-v1", "deblurgan-v2", "unet", "student" or "custom". variant: e.g. "resnet_9blocks",
        "fpn_mobilenet", "large".
    options: what else the file told or the caller chose (block layout, ngf, learn_residual, bn ...).
    parameters: weights in the file, each once. live_parameters: those that run; fewer where an encoder has a tail.
    value_range: what the network itself reads and writes for pixels in [0, 1].
    truncates: whether uint8 output is cut off, as upstream's scripts do, instead of rounded to nearest.
    notes: sentences that a user should read, e.g. what the chosen normalisation mode means.
    """

    family: str
    variant: str
    parameters: int
    live_parameters: int
    padding: Padding
    value_range: tuple[float, float] = (-1.0, 1.0)
    bottleneck: str | None = None
    options: dict[str, object] = field(default_factory=dict)
    source: str = ""
    truncates: bool = True
    notes: tuple[str, ...] = ()

    @property
    def multiple(self) -> int:
        """Sides of the network's input are multiples of this."""
        return self.padding.multiple

    @property
    def min_size(self) -> int:
        """The smallest square that the network itself runs on; smaller images are padded up to it."""
        return min(self.padding.network_size(1, 1))

    @property
    def normalisation(self) -> str:
        """How pixels become the network's input, in words."""
        low, high = self.value_range
        formula = "x / 255" if (low, high) == (0.0, 1.0) else "(x / 255 - 0.5) / 0.5"
        return f"RGB, {formula}, in [{low:g}, {high:g}]; padded {self.padding}"


class Generator(nn.Module):
    """[N, 3, H, W] float32 RGB in [0, 1], any H and W -> the same shape in [0, 1].

    The images of a batch are independent of one another. `network` is the network itself, in `info.value_range`.
    """

    def __init__(self, network: nn.Module, info: GeneratorInfo):
        super().__init__()
        self.network = network
        self.info = info
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        return run_network(self.network, self.info, image)

    def restore(self, image: np.ndarray) -> np.ndarray:
        """uint8 HxWx3 RGB -> uint8 HxWx3 RGB, truncated or rounded as `info.truncates` says.

        Raises:
            UserError: another shape or type, or an output that is not finite.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(f"a generator restores uint8 HxWx3 images; this is {image.dtype} {list(image.shape)}")
        device = next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            writable = np.require(image, requirements=["C", "W"])  # torch warns of images that cannot be written
            pixels = torch.from_numpy(writable).to(device)
            restored = self(pixels.permute(2, 0, 1)[None].float() / 255)[0]
            if not torch.isfinite(restored).all():
                raise UserError(f"{self.info.source or self.info.variant} gives NaN for this image")
            steps = restored * 255 if self.info.truncates else (restored * 255).round()
            return steps.to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that the network runs on for an image of that size."""
        return self.info.padding.padded_size(height, width)

    def digest(self) -> str:
        """SHA-256 of the file that the weights came from; of the tensors, where a user's own code brought them."""
        if self.info.source:
            return digests.digest(Path(self.info.source))
        content = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            content.update(name.encode() + tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return content.hexdigest()

    @property
    def bottleneck(self) -> nn.Module:
        """The module whose output is the deepest feature map; put a forward hook on it.

        Raises:
            UserError: a custom generator that was loaded without naming it.
        """
        if self.info.bottleneck is None:
            raise UserError(
                f"which module of {self.info.variant} has the deepest features is not known",
                "name it: --bottleneck encoder.4",
            )
        return self.network.get_submodule(self.info.bottleneck)


def run_network(network: nn.Module, info: GeneratorInfo, image: Tensor) -> Tensor:
    """`Generator.forward`: range, padding, network, crop, and the range back."""
    height, width = (int(side) for side in image.shape[-2:])  # ints, so that tracing fixes the size
    low, high = info.value_range
    restored = network(info.padding.apply(image * (high - low) + low))[..., :height, :width]
    return ((restored - low) / (high - low)).clamp(0, 1)


def count_parameters(network: nn.Module) -> int:
    """Weights that training would change, each once."""
    return sum(parameter.numel() for parameter in network.parameters())
