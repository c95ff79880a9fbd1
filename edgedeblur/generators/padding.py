"""How an image of any size becomes one that a network takes: padded at the right and bottom, cropped afterwards."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from edgedeblur.errors import UserError


@dataclass(frozen=True)
class Padding:
    """The rule of one network.

    multiple: sides are made multiples of it.
    min_side: no side is smaller.
    extra_block: a side that is a multiple already still gets one more block, as DeblurGAN-v2's predict.py does.
    fill: "grey" is zero in [-1, 1], which predict.py uses; "edge" repeats the last row and column.
    single_block: False where a network cannot run on one block of multiple x multiple pixels, because its deepest map
        would have one value per channel and so no variance.
    fixed: the network takes exactly this (height, width) and nothing else.
    """

    multiple: int = 1
    min_side: int = 1
    extra_block: bool = False
    fill: Literal["grey", "edge"] = "edge"
    single_block: bool = True
    fixed: tuple[int, int] | None = None

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """The smallest size not below this one that the network can run on.

        Raises:
            UserError: no pixels, or a network of fixed size that is smaller.
        """
        if height < 1 or width < 1:
            raise UserError(f"an image of {height}x{width} has no pixels")
        if self.fixed is not None:
            if height > self.fixed[0] or width > self.fixed[1]:
                raise UserError(
                    f"this program was exported for {self.fixed[0]}x{self.fixed[1]} (height x width); "
                    f"it cannot take {height}x{width}",
                    "export it with dynamic sizes, or for the larger size",
                )
            return self.fixed
        height, width = (max(self.min_side, -(-side // self.multiple) * self.multiple) for side in (height, width))
        if not self.single_block and height == width == self.multiple:
            return 2 * height, 2 * width
        return height, width

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The size that the network runs on for an image of this size; `extra_block` makes it larger than needed."""
        extra = 1 if self.extra_block and height > 0 and width > 0 else 0
        return self.network_size(height + extra, width + extra)

    def apply(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, *padded_size(H, W)], the image at the top left."""
        height, width = (int(side) for side in x.shape[-2:])
        padded_height, padded_width = self.padded_size(height, width)
        pad = (0, padded_width - width, 0, padded_height - height)
        return F.pad(x, pad) if self.fill == "grey" else F.pad(x, pad, mode="replicate")

    def __str__(self) -> str:
        if self.fixed is not None:
            return f"to {self.fixed[0]}x{self.fixed[1]} (height x width), with edge pixels"
        rule = f"to the next multiple of {self.multiple}" + (", always by at least one pixel" * self.extra_block)
        least = min(self.network_size(1, 1))
        return f"{rule}, at least {least}, with {'mid-grey' if self.fill == 'grey' else 'edge pixels'}"
