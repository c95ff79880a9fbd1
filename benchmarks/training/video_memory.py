"""Does a student gain by memory? One int8 tensor carried from frame to frame, against the same network without.

    python benchmarks/training/video_memory.py MATERIAL WORK --minutes 29 --seed 0

Both networks are the shipped `nano` with 32 more channels that `enc1.0.a` reads beside `down1`'s; its weights of them
start at zero, so both start as `nano`. One convolution of 16 channels with stride 2 and ReLU makes them, rounded to 8
bits. Without memory it reads `stem` of this frame; with memory `dec0.0.b` of the frame before, and is zero at first. So
layers, weights and multiply-accumulates are the same. In each step both learn from the same clips (video_clips.py), the
one with memory through all frames. docs/student.md has what came of it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from video_clips import KEPT, Clip, clips_kept_apart, training_clips

from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.metrics import psnr
from edgedeblur.student import Student, StudentSpec, build_student
from edgedeblur.student.model_file import load_student
from edgedeblur.student.operations import OpSpec
from edgedeblur.student.spec import IMAGE, ConvSpec
from edgedeblur.training.losses import log_mse
from edgedeblur.training.recipe import RECIPES, read_recipe
from edgedeblur.training.schedule import Budget, rate_factor
from edgedeblur.training.session import new_optimiser
from edgedeblur.training.validation import to_image

CROP, CLIPS_A_STEP = 128, 3
CHANNELS, READER, MADE, MEMORY_SOURCE = 32, "enc1.0.a", "extra", "dec0.0.b"
ARMS = ("without", "with")


def wider_spec(spec: StudentSpec) -> StudentSpec:
    """The spec with CHANNELS more channels before `READER`, made of `stem`."""
    layers = []
    for layer in spec.layers:
        if layer.name == READER:
            layers.append(ConvSpec(MADE, "stem", 16, CHANNELS, stride=2, relu=True))
            layers.append(OpSpec("joined", "concatenate", (layer.source, MADE), layer.in_channels + CHANNELS))
            layer = replace(layer, source="joined", in_channels=layer.in_channels + CHANNELS)
        layers.append(layer)
    return replace(spec, name="nano-wider", layers=tuple(layers))


class EightBits(nn.Module):
    """Rounds what ReLU gives to 256 values, up to a running mean of batches' largest; gradients pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            seen = x.detach().amax()
            self.largest.copy_(torch.where(self.largest > 0, self.largest.lerp(seen, 0.01), seen))
        step = self.largest.clamp_min(1e-6) / 255
        return x + ((x / step).round().clamp(0, 255) * step - x).detach()


class Arm(nn.Module):
    """The network, with memory or without. frames [N, T, 3, H, W] -> the same, one after the other."""

    def __init__(self, nano: Student, memory: bool, seed: int):
        super().__init__()
        self.memory, self.rounded = memory, EightBits()
        self.student = build_student(wider_spec(nano.spec), seed)
        weights, known = self.student.state_dict(), nano.state_dict()
        for name, weight in weights.items():
            if name in known and known[name].shape == weight.shape:
                weight.copy_(known[name])
        wide = self.student.conv(READER).weight.data
        wide[:, :-CHANNELS], wide[:, -CHANNELS:] = nano.conv(READER).weight.data, 0.0
        self.made = next(layer for layer in self.student.spec.layers if layer.name == MADE)

    def forward(self, frames: Tensor) -> Tensor:
        if not self.memory:
            return self._frame(frames.flatten(0, 1), None)[0].unflatten(0, frames.shape[:2])
        n, _, _, height, width = frames.shape
        restored, carried = [], frames.new_zeros(n, CHANNELS, height // 4, width // 4)
        for frame in frames.unbind(1):
            image, carried = self._frame(frame, carried)
            restored.append(image)
        return torch.stack(restored, 1)

    def _frame(self, image: Tensor, carried: Tensor | None) -> tuple[Tensor, Tensor | None]:
        tensors = {IMAGE: image}
        for layer in self.student.spec.layers:
            if layer is not self.made:
                tensors[layer.name] = self.student.layer_output(layer, tensors)
            elif carried is None:
                tensors[MADE] = self.rounded(self.student.layer_output(layer, tensors))
            else:
                tensors[MADE] = carried
        if carried is not None:
            carried = self.rounded(self.student.layer_output(replace(self.made, source=MEMORY_SOURCE), tensors))
        return tensors[self.student.spec.layers[-1].name], carried


def batches(clips: Sequence[Clip], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(blur, sharp) [N, T, 3, CROP, CROP], cut, turned, mirrored and played backwards at random."""
    rng = np.random.default_rng(seed)
    while True:
        pairs = []
        for clip in (clips[place] for place in rng.integers(len(clips), size=CLIPS_A_STEP)):
            y, x = rng.integers(0, KEPT - CROP + 1, 2)
            pair = np.stack([clip.blur, clip.sharp])[:, :, y : y + CROP, x : x + CROP]
            pair = np.rot90(pair[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])], rng.integers(4), (2, 3))
            pairs.append(torch.from_numpy(np.ascontiguousarray(pair)))
        both = torch.stack(pairs, 1).permute(0, 1, 2, 5, 3, 4).float() / 255
        yield both[0].contiguous(), both[1].contiguous()


def train(arms: dict[str, Arm], clips: Sequence[Clip], minutes: float, seed: int) -> int:
    """Both arms step by step on the same batches; the number of steps."""
    recipe = read_recipe(RECIPES / "student-real.toml", DistillRecipe)
    fitting = replace(recipe.fitting, rate=6e-4, warm_up=50)
    optimisers = {}
    for name, arm in arms.items():
        head = list(arm.student.conv("head").parameters())
        others = [each for each in arm.parameters() if all(each is not own for own in head)]
        optimisers[name] = new_optimiser(others, fitting, head, recipe.head_rate)
    rates = {name: [group["lr"] for group in each.param_groups] for name, each in optimisers.items()}
    budget, start, fraction = Budget(None, minutes), time.monotonic(), 0.0
    for step, (blur, sharp) in enumerate(batches(clips, seed)):
        fraction = budget.fraction(step, time.monotonic() - start)
        if fraction >= 1:
            return step
        losses = {}
        for name, arm in arms.items():
            for group, rate in zip(optimisers[name].param_groups, rates[name], strict=True):
                group["lr"] = rate * rate_factor(step, fraction, fitting.schedule, fitting.warm_up)
            optimisers[name].zero_grad()
            loss = log_mse(arm(blur), sharp)
            loss.backward()
            nn.utils.clip_grad_norm_(arm.parameters(), fitting.clip)
            optimisers[name].step()
            losses[name] = loss.item()
        if step % 100 == 0:
            told = ", ".join(f"{name} {-10 * loss:.2f} dB" for name, loss in losses.items())
            print(f"step {step}, {fraction:.0%}: {told}", file=sys.stderr, flush=True)
    raise AssertionError("batches never end")


Restore = Callable[[Tensor], Tensor]


@torch.no_grad()
def measure(clips: Sequence[Clip], restore: Restore | None) -> dict[str, float]:
    """Means over clips of PSNR by frame (dB) and of flicker: how far, in steps of uint8, the change from one frame to
    the next is from the sharp clip's, mean absolute value."""
    found = []
    for clip in clips:
        restored = clip.blur
        if restore is not None:
            given = torch.from_numpy(clip.blur).permute(0, 3, 1, 2)[None].float() / 255
            restored = np.stack([to_image(frame[None]) for frame in restore(given)[0]])
        changes = [np.diff(frames.astype(np.float32), axis=0) for frames in (restored, clip.sharp)]
        decibels = [psnr(*frames) for frames in zip(restored, clip.sharp, strict=True)]
        found.append((np.mean(decibels), np.abs(changes[0] - changes[1]).mean()))
    return dict(zip(("psnr_db", "flicker"), np.mean(found, axis=0).tolist(), strict=True))


def one_by_one(student: Student) -> Restore:
    """A student that takes [1, T, 3, H, W], frame by frame."""
    return lambda frames: torch.cat([student(frame) for frame in frames.unbind(1)])[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "material", type=Path, help="a folder with photos, gopro_video_240fps, pairs_train, camera_shake"
    )
    parser.add_argument("work", type=Path, help="where weights and results are written")
    parser.add_argument("--minutes", type=float, default=25.0, help="of training, both networks together")
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--begin", type=int, metavar="SEED", help="with the weights in WORK that a run of this seed wrote"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    nano, _ = load_student(Path("edgedeblur/weights/student-nano.safetensors"))
    arms = {name: Arm(nano, name == "with", given.seed) for name in ARMS}
    if given.begin is not None:
        for name, arm in arms.items():
            arm.load_state_dict(torch.load(given.work / f"{name}-memory-{given.begin}.pt", weights_only=True))
    steps = train(arms, training_clips(given.material, given.clips), given.minutes, given.seed)
    restorers: dict[str, Restore | None] = {"blurred": None, "nano as shipped": one_by_one(nano)}
    for name, arm in arms.items():
        torch.save(arm.state_dict(), given.work / f"{name}-memory-{given.seed}.pt")
        restorers[f"{name} memory"] = arm.eval()
    result = {"steps": steps, "gmac": arms["with"].student.spec.macs() / 1e9, "gmac_nano": nano.spec.macs() / 1e9}
    for group, clips in clips_kept_apart(given.material).items():
        result[group] = {name: measure(clips, restore) for name, restore in restorers.items()}
    (given.work / f"result-{given.seed}.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
