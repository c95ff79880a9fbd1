"""Pairs made from sharp pictures, as files in GoPro's layout, with a record of how each was made.

    FOLDER/blur/000000.png, FOLDER/sharp/000000.png   the pair
    FOLDER/synth.json                                 seed, size, recipe and data of all
    FOLDER/pairs.jsonl                                a line per pair: name, source, model, its parameters

Pair number N is a function of the options and (seed, N), so an interrupted run resumes where it stopped, a longer one
adds to a shorter, and the same options give the same bytes.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edgedeblur import __version__
from edgedeblur.data.blur.blurring import KINDS, BlurRecipe
from edgedeblur.data.images import write_image
from edgedeblur.data.opencv_threads import one_opencv_thread
from edgedeblur.data.sources import Mixture, Pairs, Photos, Source
from edgedeblur.data.training_data import open_data
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.storage.contents import Origin, read_contents
from edgedeblur.storage.documents import parse_json, read_json, shown
from edgedeblur.storage.files import write_json, write_text
from edgedeblur.storage.records import Rules, read_record

HEADER, RECORDS = "synth.json", "pairs.jsonl"
_MAX_RECORDS = 1 << 30  # bytes; a pair takes some 300
_FIX = "choose another folder, or remove this one"
FORMAT = 1
EVERY_MODEL = BlurRecipe(
    still_share=0.0,
    shake_share=1.0,
    linear_share=1.0,
    turn_share=1.0,
    defocus_share=1.0,
    object_share=1.0,
    scene_share=1.0,
    recorded_share=1.0,
    max_length=48.0,
    gammas=(2.2,),
    photon_noise=2.0,
)
_MAX_SIDE = 8192


@dataclass(frozen=True)
class SynthOptions:
    """output: the folder. data: photographs or frames, each `FOLDER` or `KIND:FOLDER`; none: the default photographs.
    recipe: how blur is made. kinds: only these models of it, each as often; none: as the recipe says. count: pairs.
    size: (height, width) of each. seed: same seed, same pairs. shake: recordings for `recorded`; none: the model."""

    output: Path
    data: tuple[str, ...] = ()
    recipe: BlurRecipe = EVERY_MODEL
    kinds: tuple[str, ...] = ()
    count: int = 20
    size: tuple[int, int] = (512, 512)
    seed: int = 0
    shake: Path | None = None

    @property
    def blur(self) -> BlurRecipe:
        """The recipe with the shares of the kinds."""
        if not self.kinds:
            return self.recipe
        return replace(self.recipe, **{f"{kind}_share": float(kind in self.kinds) for kind in KINDS})


@dataclass(frozen=True)
class _PairRecord:
    """What is relied on in a line of pairs.jsonl; it holds the parameters of its model too."""

    name: str
    model: str
    length: float = 0.0
    radius: float = 0.0
    turn_degrees: float = 0.0
    frames: int = 0


def write_pairs(options: SynthOptions, progress: Progress) -> list[dict]:
    """Write the pairs that the folder has not yet; the records of all `count`, in order.

    Raises:
        UserError: data that is missing, ready pairs, or too few frames; a folder with pairs of other options; a size
            that is not 16..8192; a disk that is full.
    """
    if not all(16 <= side <= _MAX_SIDE for side in options.size):
        raise UserError(f"the size is {options.size[0]}x{options.size[1]}; sides are 16 to {_MAX_SIDE}", exit_code=2)
    shares = {"photos": 1.0, "frames": 1.0, "pairs": 1.0}
    source, described = open_data(options.data, options.blur, shares, options.shake)
    _check_source(source, options)
    records = _begin(options, described)
    missing = [index for index in range(options.count) if _name(index) not in records]
    with one_opencv_thread(), (options.output / RECORDS).open("a", encoding="utf-8") as log:
        for done, index in enumerate(missing, start=options.count - len(missing) + 1):
            record = _write_pair(options, source, index)
            records[record["name"]] = record
            log.write(json.dumps(record) + "\n")
            log.flush()
            progress(f"{record['name']} {record['model']}", done, options.count)
    return [records[_name(index)] for index in range(options.count)]


def _write_pair(options: SynthOptions, source: Source, index: int) -> dict:
    made = source.make(np.random.default_rng((options.seed, index)), *options.size)
    for side, image in (("sharp", made.sharp), ("blur", made.blur)):
        write_image(options.output / side / _name(index), np.ascontiguousarray(image))
    return {"name": _name(index), **made.record}


def _begin(options: SynthOptions, described: Sequence[str]) -> dict[str, dict]:
    """Writes the header, or checks that it is this run's; the records of the pairs that are there."""
    header = {
        "format": FORMAT,
        "edgedeblur_version": __version__,
        "seed": options.seed,
        "size": list(options.size),
        "data": list(described),
        "recipe": json.loads(json.dumps(asdict(options.blur))),
    }
    path = options.output / HEADER
    if not path.exists():
        for name in ("blur", "sharp"):
            if (options.output / name).exists():
                fix = "choose another folder"
                raise UserError(f"{options.output} has a folder {name}/ that edgedeblur synth did not make", fix)
        write_json(path, header)
    else:
        _require_same(options.output, read_json(path, Origin(f"{path} is damaged", _FIX)), header)
    records = _kept_records(options.output)
    write_text(options.output / RECORDS, "".join(json.dumps(record) + "\n" for record in records.values()))
    return records


def _require_same(folder: Path, found: dict, wanted: dict) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise UserError(
                f"{folder} has pairs with {key} {shown(found.get(key))}, not {shown(value)}",
                "choose another folder, or the options of synth.json there to resume",
            )


def _kept_records(folder: Path) -> dict[str, dict]:
    """By name, sorted: the whole lines of the record whose two pictures are there."""
    path, records = folder / RECORDS, {}
    origin = Origin(str(path), _FIX)
    content = read_contents(path, _MAX_RECORDS, origin) if path.exists() else b""
    for line in content.splitlines():
        try:
            record = parse_json(line, origin)
            name = read_record(_PairRecord, record, Rules(origin, further_keys=True)).name
        except UserError:
            continue  # an interrupted run's last line; the pair is made again, the same
        if all(os.path.isfile(folder / side / name) for side in ("blur", "sharp")):
            records[name] = record
    return dict(sorted(records.items()))


def _check_source(source: Source, options: SynthOptions) -> None:
    parts = source.sources if isinstance(source, Mixture) else (source,)
    if options.kinds and not any(isinstance(part, Photos) for part in parts):
        kinds, data = ", ".join(options.kinds), ", ".join(options.data)
        raise UserError(
            f"{kinds} blur is for photographs; the blur of frames is their mean, and {data} has nothing else",
            "leave --kind out",
            exit_code=2,
        )
    for part in parts:
        if isinstance(part, Pairs):
            root = part.pairs[0].blur.parent.parent
            raise UserError(
                f"{root} holds ready pairs; blur is made from photographs or frames",
                f"to blur their sharp pictures again: --data photos:{root / 'sharp'}",
                exit_code=2,
            )


def _name(index: int) -> str:
    return f"{index:06}.png"
