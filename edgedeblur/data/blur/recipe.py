"""The recipe of blur: which models how often, and how strong; its keys are those of a recipe's [blur] table."""

import math
from dataclasses import dataclass

from edgedeblur.data.blur.trajectory import JERK

UNRESTS = (0.01, 0.007, 0.005, 0.003, 0.001, 0.0005, 0.0001)  # DeblurGAN's
KINDS = ("still", "shake", "linear", "turn", "defocus", "object", "scene", "recorded")
SLIGHT = 3.0  # pixels: as long as slight blur is at most
WIDEST_VIEW = 150.0  # degrees
RECORDED_REACH = 0.7  # of its length that a recorded path goes from its middle in time, but for one in a thousand


@dataclass(frozen=True)
class BlurRecipe:
    """How blur is made. Shares are weights of a random choice; lengths in pixels, noise in uint8 steps.

    still_share: share of pairs left sharp, so that the network learns to do no harm.
    shake_share, linear_share, turn_share: camera shake, straight motion, and shake with a turning camera, whose blur
        differs over the image. defocus_share: lens out of focus. object_share: part of the image moves.
    scene_share: a moving camera and depth, and mostly a foreground that moves separately (`data.scene`).
    min_length, max_length: length of the path; drawn between them with density falling as 1/sqrt(length).
    max_acceleration, max_jerk: of straight motion, see `trajectory.linear_path`. With the first at 1 it may begin from
        rest, and it bends; with the second too, twice and in two directions.
    acceleration_pixels: both are at most this many pixels over the path's length, since a hand that moves fast is no
        more often pushed than one that moves slowly: long paths are nearly straight.
    max_turn_degrees: how far the camera turns about a point near the image during the exposure.
    unrests: one is drawn per shaken path, see `trajectory.shake_path`; below 0.001 paths are nearly straight.
    video_share: how often the blur is not that of an open shutter but the mean of 7, 9, 11 or 13 short exposures along
        the path, as in data averaged from video (GoPro's): edges leave steps, not ramps. Not for `turn` and `defocus`.
    max_zoom: photographs are enlarged by up to this before they are blurred, since video frames are softer than they.
    min_contrast: and their contrast is lowered to down to this.
    reductions: whole numbers; a crop of a ready pair or of video frames is made smaller by one of them, drawn among
        those that leave room for a crop, and its blur gets shorter with it.
    gammas: one is drawn per image; 2.2 is linear light, 1.0 averages the stored values (as GoPro's public averages do).
    highlight_gain: the brightest light is multiplied by up to this much before the blur.
    noise: standard deviation at most; noise_share: how often. jpeg_quality: lowest; jpeg_share: how often.
    min_radius, max_radius: of the aperture's image out of focus. blades: one is drawn; 0 is a disc, else a polygon.
    min_object, max_object: radius of the moving part, as a share of the image's shorter side.
    photon_noise: standard deviation at white, at most; 0 is none.
    recorded_share: camera shake as gyroscopes record it (`data.recorded`). Of it: frame_width, pixels along a whole
        frame of which pictures are pieces; min_view, max_view, degrees that a frame sees along its width; max_shutter,
        for how much of the time to the next one a video's frame is exposed, at most.
    slight_share: how often the path is one of at most 3 pixels instead, any length as often: nearly sharp pictures.
    """

    still_share: float = 0.05
    shake_share: float = 0.4
    linear_share: float = 0.2
    turn_share: float = 0.4
    min_length: float = 2.0
    max_length: float = 40.0
    max_acceleration: float = 0.0
    max_jerk: float = 0.0
    acceleration_pixels: float = 1000.0
    max_turn_degrees: float = 3.0
    unrests: tuple[float, ...] = UNRESTS
    video_share: float = 0.0
    max_zoom: float = 1.0
    min_contrast: float = 1.0
    gammas: tuple[float, ...] = (2.2, 1.0)
    highlight_gain: float = 2.0
    noise: float = 2.0
    noise_share: float = 0.2
    jpeg_quality: int = 75
    jpeg_share: float = 0.1
    defocus_share: float = 0.0
    object_share: float = 0.0
    scene_share: float = 0.0
    min_radius: float = 1.0
    max_radius: float = 8.0
    blades: tuple[int, ...] = (0, 5, 6, 7, 8)
    min_object: float = 0.15
    max_object: float = 0.4
    photon_noise: float = 0.0
    recorded_share: float = 0.0
    frame_width: float = 1280.0
    min_view: float = 50.0
    max_view: float = 75.0
    max_shutter: float = 0.0
    slight_share: float = 0.0
    reductions: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        shares = self.shares
        if min(shares) < 0 or not 0 < sum(shares) < math.inf:
            raise ValueError(f"the shares of blur are {dict(zip(KINDS, shares, strict=True))}; one must be above 0")
        ranges = {
            "length": (self.min_length, self.max_length),
            "radius": (self.min_radius, self.max_radius),
            "object": (self.min_object, self.max_object),
        }
        for name, (low, high) in ranges.items():
            if not 0 <= low <= high < math.inf:
                raise ValueError(f"min_{name} is {low} and max_{name} {high}; they are at least 0 and in this order")
        for name in ("video_share", "slight_share", "max_acceleration", "max_jerk", "max_shutter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; 0 to 1")
        if not 0 <= self.acceleration_pixels < math.inf:
            raise ValueError(f"acceleration_pixels is {self.acceleration_pixels}; it is at least 0")
        if not 0 < self.min_view <= self.max_view <= WIDEST_VIEW:
            raise ValueError(f"min_view is {self.min_view} and max_view {self.max_view}; up to {WIDEST_VIEW} degrees")
        if not 16 <= self.frame_width <= 100_000:
            raise ValueError(f"frame_width is {self.frame_width}; 16 to 100000 pixels")
        if not 1 <= self.max_zoom <= 8 or not 0 < self.min_contrast <= 1:
            raise ValueError(f"max_zoom is {self.max_zoom}, 1 to 8, and min_contrast {self.min_contrast}, up to 1")
        if not self.gammas or min(self.gammas) <= 0:
            raise ValueError(f"gammas are {self.gammas}; at least one, all above 0")
        if not self.reductions or not 1 <= min(self.reductions) <= max(self.reductions) <= 16:
            raise ValueError(f"reductions are {self.reductions}; at least one, all 1 to 16")
        if not self.unrests or min(self.unrests) < 0:
            raise ValueError(f"unrests are {self.unrests}; at least one, none below 0")
        if not self.blades or any(count != 0 and not 3 <= count <= 64 for count in self.blades):
            raise ValueError(f"blades are {self.blades}; each is 0 (a disc) or 3 to 64")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; it is 1 to 100")

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of KINDS."""
        return tuple(getattr(self, f"{kind}_share") for kind in KINDS)

    @property
    def margin(self) -> int:
        """Pixels around a crop that its blur can draw from."""
        radius = self.max_radius * 1.1 if self.defocus_share > 0 else 0.0
        reach = self.max_length * (0.5 + self.max_acceleration / 4 + JERK * self.max_jerk / 8)
        if self.recorded_share > 0:
            reach = max(reach, self.max_length * RECORDED_REACH)
        return math.ceil(max(reach, radius)) + 4
