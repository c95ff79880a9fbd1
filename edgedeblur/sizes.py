"""Sizes that a network takes: height x width in this order, both multiples of what its strides need."""

from edgedeblur.errors import UserError


def check_sides(height: int, width: int, multiple: int) -> None:
    """Raises UserError, with the sizes that were probably meant, unless both are positive multiples."""
    if height > 0 and width > 0 and height % multiple == 0 and width % multiple == 0:
        return
    raise UserError(
        f"the network takes no {height}x{width} images; height and width must be positive multiples of {multiple}",
        offered_sizes(height, width, multiple),
        exit_code=2,
    )


def offered_sizes(height: int, width: int, multiple: int) -> str:
    """The next larger sizes; where the first side is the longer one also for a picture that is so wide, as sizes of
    pictures and videos are written elsewhere: 1920x1080 to 1088x1920."""
    up, across = (max(1, -(-side // multiple)) * multiple for side in (height, width))
    if height <= width:
        return f"--size {up}x{across} (height x width)"
    return (
        f"--size {across}x{up} for a picture {height} wide and {width} high, "
        f"--size {up}x{across} for one {width} wide and {height} high"
    )
