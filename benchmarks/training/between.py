"""Weights between those before and after a last stage: python benchmarks/training/between.py BEFORE AFTER SHARE OUTPUT

SHARE is how much of AFTER: 0.7 is what the shipped `nano` has. The mean of the weights at two points of one training
often keeps most of what either is better at (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022);
docs/student.md has what it brings here. The metadata is AFTER's.
"""

import argparse
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("before", "after"):
        parser.add_argument(name, type=Path, help="a student's safetensors file")
    parser.add_argument("share", type=float, help="of AFTER, from 0 to 1")
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    before, after = load_file(given.before), load_file(given.after)
    shapes = [{name: tuple(weight.shape) for name, weight in weights.items()} for weights in (before, after)]
    if shapes[0] != shapes[1]:
        parser.error(f"{given.before} and {given.after} are not two files of one network")
    mixed = {name: (1 - given.share) * before[name].float() + given.share * after[name].float() for name in after}
    with safe_open(given.after, "pt") as file:
        save_file(mixed, given.output, file.metadata())


if __name__ == "__main__":
    main()
