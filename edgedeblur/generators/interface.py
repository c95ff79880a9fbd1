"""What a user's own network expects, and how it is named: plain values, told without loading torch."""

from dataclasses import dataclass

from edgedeblur.errors import UserError

VALUE_RANGES = ((-1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True)
class Interface:
    """What a network expects that edgedeblur does not know: [N, 3, H, W] RGB in `value_range`, the same shape back.

    value_range: (-1.0, 1.0), as the DeblurGAN family, or (0.0, 1.0).
    multiple, min_side: sides that it takes; other images are padded with edge pixels and cropped.
    bottleneck: name of the module with the deepest features, for feature distillation; None where there is none.
    """

    value_range: tuple[float, float] = (-1.0, 1.0)
    multiple: int = 32
    min_side: int = 1
    bottleneck: str | None = None

    def __post_init__(self):
        if self.value_range not in VALUE_RANGES:
            raise UserError(f"value_range is {self.value_range}; allowed are (-1.0, 1.0) and (0.0, 1.0)", exit_code=2)
        if self.multiple < 1 or self.min_side < 1:
            raise UserError(f"multiple {self.multiple} and min_side {self.min_side} must be at least 1", exit_code=2)
