"""Any model file or artefact as one thing that restores images: `open_model`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.progress import Log, unheard
from edgedeblur.restore.image_kinds import restore_in_kind
from edgedeblur.restore.kinds import Kind, model_kind
from edgedeblur.restore.tiling import GATED_TILE, RunExact, blend, restore_any_size, restore_where, tiling_of
from edgedeblur.storage.digests import digest
from edgedeblur.student import StudentSpec
from edgedeblur.student.user_module import names_callable

if TYPE_CHECKING:
    from edgedeblur.runtime.engine import QuantisedEngine
    from edgedeblur.runtime.kept_artefacts import KeptArtefacts

GMAC_SIDE = 512


@dataclass(frozen=True)
class Restorer:
    """An opened model.

    Attributes:
        name: the file's name without suffix, or the artefact folder's.
        kind: what it is.
        path: where it is.
        sha256: of the file; for an artefact, of the quantised network that it was compiled from.
        parameters: weights and biases.
        gmac: 1e9 multiply-accumulates for a 512x512 image; None where the layers cannot be watched (TorchScript).
        multiple: heights and widths that `run` takes are multiples of this.
        fixed_size: (height, width) when `run` takes this size only.
        run: uint8 [h, w, 3] RGB of such a size -> the same shape.
        notes: what a user should know of how it runs, e.g. what a teacher's normalisation mode means.
        runs_in: what executes it, with its threads; times of one and another are not to be compared without a word.
        simulated: whether that is a simulator, whose time says nothing.
        largest_tile: side of the tiles that larger pictures are cut into; None: what memory allows.
        engine: of a quantised network, what `run` is a method of.
    """

    name: str
    kind: Kind
    path: Path
    sha256: str
    parameters: int
    gmac: float | None
    multiple: int
    fixed_size: tuple[int, int] | None
    run: RunExact
    notes: tuple[str, ...] = ()
    runs_in: str = ""
    simulated: bool = False
    largest_tile: int | None = None
    engine: "QuantisedEngine | None" = None

    def what_ran(self) -> str:
        """As `runs_in`, after the images that were restored: their sizes may decide."""
        return self.runs_in if self.engine is None else self.engine.described()

    def load_for(self, image: np.ndarray, images: int = 1) -> None:
        """Loads or compiles what pays for so many images as this one, so that no image's time counts it."""
        if self.engine is not None:
            size, tiles = tiling_of(*image.shape[:2], self.multiple, self.largest_tile)
            self.engine.load_for(size, tiles * max(images, 1))

    def restore(self, image: Any) -> Any:
        """Restore an RGB image of any size, or a batch of them; padded and tiled as the model needs.

        Args:
            image: NumPy or torch uint8 [H, W, 3] or [N, H, W, 3]; torch float [3, H, W] or [N, 3, H, W] in [0, 1].

        Returns:
            A new image of the same type, dtype and shape, on the same torch device, without a gradient. Models work on
            8 bits per channel, so floats come back in steps of 1/255.

        Raises:
            UserError: another type, dtype or shape, no pixels, or floats outside [0, 1].
        """
        return restore_in_kind(image, self._restore_one)

    def restore_region(self, image: np.ndarray, mask: np.ndarray | None, half_scale: float = 0.0) -> np.ndarray:
        """Restore what a mask marks; tiles that it leaves out are not computed.

        Args:
            image: uint8 [H, W, 3] RGB.
            mask: uint8 [H, W]: 255 is restored, 0 stays as it is, between is blended. None: all is restored.
            half_scale: share of a restoration at half the scale (restore/half_scale.py), 0 to 1.

        Returns:
            uint8 [H, W, 3], a new image.
        """
        wanted = None if mask is None else mask > 0
        restored = self._restore_where(image, wanted)
        if half_scale:
            from edgedeblur.restore.half_scale import blend_scales, reduce_region, restore_at_half_scale  # loads OpenCV

            reduced = None if wanted is None else reduce_region(wanted)
            half = restore_at_half_scale(image, lambda small: self._restore_where(small, reduced))
            restored = blend_scales(restored, half, half_scale)
        return restored if mask is None else blend(image, restored, mask)

    def _restore_where(self, image: np.ndarray, wanted: np.ndarray | None) -> np.ndarray:
        if wanted is None:
            return self._restore_one(image)
        return restore_where(image, wanted, self.run, self.multiple, self.fixed_size, largest=self.largest_tile)

    def _restore_one(self, image: np.ndarray) -> np.ndarray:
        self.load_for(image)
        return restore_any_size(image, self.run, self.multiple, self.fixed_size, largest=self.largest_tile)


def open_model(
    path: str | Path,
    threads: int | None = None,
    *,
    own_padding: bool = True,
    load_torch: bool = False,
    compiled: Sequence[str | Path] = (),
    interpreter: bool = False,
    kept: "KeptArtefacts | None" = None,
    log: Log = unheard,
    **teacher_options,
) -> Restorer:
    """Open a teacher, student, quantised network or artefact; which one is told from the content.

    Args:
        path: model file or artefact folder.
        threads: for an artefact: worker threads, else the artefact's own number.
        own_padding: False leaves out the extra block that DeblurGAN-v2's predict.py pads with.
        load_torch: for a quantised network: its integers in float32 by torch, the same bytes in a third of the time.
            Where torch is loaded already, that is done in any case; else once there is as much to do as pays for
            loading it (seconds and 200 MB).
        compiled: for a quantised network: artefacts. The first one that was compiled from it and runs here restores
            images and tiles of its sizes, with the same bytes; `log` is told why others are not used.
        interpreter: for a quantised network: the integer interpreter in any case.
        kept: for a quantised network: where artefacts are found too, and made for sizes of which there is much.
        teacher_options: for a teacher: `load_generator`'s options (normalisation mode and the like).

    Returns:
        The opened model: `restore` takes images of any size, and `name`, `kind`, `parameters`, `gmac` describe it.

    Raises:
        UserError: no model there, or one that cannot be read or run.

    Example:
        >>> model = ed.open_model("artefact")  # or "student.edq", "student.safetensors", a teacher's .pth
        >>> model.restore(np.zeros((100, 150, 3), np.uint8)).shape
        (100, 150, 3)
    """
    path = Path(path)
    kind = model_kind(path)
    if kind == "quantised":
        in_torch = load_torch or "torch" in sys.modules
        allowed = {"compiled": compiled, "in_torch": in_torch, "kept": kept}
        return _open_quantised(path, threads=threads, log=log, **({} if interpreter else allowed))
    if interpreter:
        raise UserError(f"{path} is a {kind}; the interpreter runs .edq files", "leave out --interpreter", exit_code=2)
    if kind == "artefact":
        return _open_artefact(path, threads)
    if kind == "teacher":
        return _open_teacher(path, own_padding, teacher_options)
    return _open_student(path)


def open_models(paths: Sequence[Path], threads: int | None = None, **options) -> list[Restorer]:
    """As `open_model` for several: an option that is only for quantised networks or for a network of the
    user's own goes to those that are.

    Raises:
        UserError: as `open_model`.
    """
    kinds = [model_kind(path) for path in paths]
    restorers = []
    for path, kind in zip(paths, kinds, strict=True):
        taken = dict(options) if len(paths) == 1 else _applicable(path, kind, options)
        if "quantised" in kinds and kind != "quantised":
            taken.pop("interpreter", None)
        restorers.append(open_model(path, threads, **taken))
    return restorers


def _applicable(path: Path, kind: Kind, options: dict) -> dict:
    if names_callable(path):
        return dict(options)
    left_out = {"weights", "interface"}
    if kind == "teacher":
        from edgedeblur.generators.weight_file import PROGRAMS, file_format  # loads torch

        left_out = {"weights"} if file_format(path) in PROGRAMS else left_out
    return {name: value for name, value in options.items() if name not in left_out}


def _open_student(path: Path) -> Restorer:
    import torch

    from edgedeblur.student.model_file import load_student

    student, _ = load_student(path)

    def run(image: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            y = student(x)[0].clamp(0, 1)
        return (y * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()

    return Restorer(**_facts(path, "student", student.spec), run=run, runs_in=_pytorch())


def _open_quantised(path: Path, **options) -> Restorer:
    from edgedeblur.quantize.edq import load_edq
    from edgedeblur.runtime.engine import open_engine

    network = load_edq(path)
    engine = open_engine(network, **options)
    facts = _facts(path, "quantised", network.spec)
    return Restorer(**facts, run=engine.run, runs_in=engine.described(), engine=engine)


def _open_teacher(path: Path, own_padding: bool, options: dict) -> Restorer:
    from edgedeblur.generators.cost import gmac
    from edgedeblur.generators.load import load_generator

    generator = load_generator(path, **options)
    if not own_padding:
        generator.info = replace(generator.info, padding=replace(generator.info.padding, extra_block=False))
    try:
        cost = gmac(generator, GMAC_SIDE, GMAC_SIDE)
    except UserError:
        cost = None
    info = generator.info
    # The generator pads by its own rule, which belongs to its result, so it takes any size.
    fixed = info.padding.fixed
    facts = (generator.digest(), info.parameters, cost, 1, fixed)
    return Restorer(path.stem, "teacher", path, *facts, generator.restore, info.notes, runs_in=_pytorch())


def _facts(path: Path, kind: Kind, spec: StudentSpec) -> dict:
    return {
        "name": path.stem,
        "kind": kind,
        "path": path,
        "sha256": digest(path),
        "parameters": spec.parameters,
        "gmac": spec.macs(GMAC_SIDE, GMAC_SIDE) / 1e9,
        "multiple": spec.multiple,
        "fixed_size": None,
        "largest_tile": GATED_TILE if spec.gated else None,
    }


def _pytorch() -> str:
    import torch

    return f"PyTorch float32, {torch.get_num_threads()} threads"


def _open_artefact(path: Path, threads: int | None) -> Restorer:
    """In this process where the library loads here, else by its program and the target's simulator: slow, but right."""
    from edgedeblur.artefact import cpu
    from edgedeblur.artefact.folder import load_artefact
    from edgedeblur.runtime.program import run_program, runner_for
    from edgedeblur.runtime.session import Session

    info, simulator = load_artefact(path), ()
    if info.library is not None and not info.target.is_android and info.target.architecture == cpu.architecture():
        session = Session(info, threads)
        on_gpu = f"compiled, on the GPU in {session.precision}" if session.unit == "gpu" else None
        run, runs_in = session.run, on_gpu or f"compiled, {session.threads} threads"
    else:
        simulator = runner_for(info)  # says now, not at the first image, that nothing here runs it
        runs_in = f"simulator {simulator[0]}" if simulator else "the artefact's own program"

        def run(image: np.ndarray) -> np.ndarray:
            return run_program(info, image, runs=1, warmup=0, threads=threads).output

    spec = info.network().spec
    return Restorer(
        name=path.name,
        kind="artefact",
        path=path,
        sha256=info.manifest["network_sha256"],
        parameters=spec.parameters,
        gmac=spec.macs(GMAC_SIDE, GMAC_SIDE) / 1e9,
        multiple=spec.multiple,
        fixed_size=(info.height, info.width),
        run=run,
        runs_in=runs_in,
        simulated=bool(simulator),
    )
