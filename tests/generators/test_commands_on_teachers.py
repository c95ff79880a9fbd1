"""The commands with every kind of teacher: distill, evaluate, inspect, export, deblur read them by one entry point."""

import json
import re
from pathlib import Path

import golden_set
import my_networks
import numpy as np
import onnxruntime
import pytest
import torch
import wrappings
from click.testing import CliRunner

from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.generators.interface import Interface
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.unet import UNetConfig, build_unet
from edgedeblur.student.model_file import UNET, load_student, save_model
from edgedeblur.training.recipe import RECIPES

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

SHIPPED = RECIPES / "student.toml"
OWN = ["--range=0,1", "--multiple", "4"]
QUICK = ["--tier", "nano", "--init", "none", "--steps", "1", "--batch", "1", "--crop", "32", "--data", "photos:photos"]
QUICK += ["--validation", "pairs", "--no-tensorboard", "--recipe", "features.toml"]


def run(*words, code=0):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with one photograph in photos/, one pair in pairs/ and a recipe that distils features."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features.toml").write_text(SHIPPED.read_text().replace("feature = 0.0\n", "feature = 0.005\n"))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 40, 44, 3), dtype=np.uint8)
    for path, picture in zip(("photos/a.png", "pairs/blur/a.png", "pairs/sharp/a.png"), pictures, strict=True):
        write_image(path, picture)
    return tmp_path


@pytest.fixture
def own(here):
    """{name: words that name it} for one network of a user's own as Python code, TorchScript and torch.export."""
    torch.manual_seed(3)
    network = my_networks.Halving().eval()
    torch.save({"state_dict": network.state_dict()}, "own.pth")
    torch.jit.script(network).save("own.pt")
    height, width = (4 * torch.export.Dim(name, min=2, max=256) for name in ("h", "w"))
    shapes = ({2: height, 3: width},)
    torch.export.save(torch.export.export(network, (torch.rand(1, 3, 16, 24),), dynamic_shapes=shapes), "own.pt2")
    return {
        "python": ("my_networks:Halving", ["--weights", "own.pth", *OWN]),
        "torchscript": ("own.pt", OWN),
        "exported": ("own.pt2", ["--trust-program", *OWN]),
    }


OWN_KINDS = pytest.mark.parametrize("kind", ["python", "torchscript", "exported"])


def expected_of_own(image: np.ndarray) -> np.ndarray:
    """What the network alone makes of a picture whose sides are multiples of 4, truncated."""
    torch.manual_seed(3)
    network = my_networks.Halving().eval()
    with torch.no_grad():
        restored = network(torch.tensor(image).permute(2, 0, 1)[None] / 255).clamp(0, 1)
    return (restored[0] * 255).byte().permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("variant", "wrap"), list(zip(golden_set.V1 + golden_set.V2, wrappings.WRAPPINGS[3:], strict=True))
)
def test_distill_learns_from_every_variant(golden, here, variant, wrap):
    wrap(golden.weights(variant), here / "teacher.bin")
    result = run("distill", "--teacher", "teacher.bin", *QUICK)
    (here / "teacher.bin").unlink()
    _, metadata = load_student(here / "edgedeblur-work/student.safetensors")
    info = golden.generator(variant).info
    assert (metadata["teacher"]["variant"], metadata["steps"]) == (info.variant, 1)
    assert metadata["psnr_db"]["teacher"]["mean"] > 0
    assert f"teacher {info.family} {info.variant}" in result.stderr
    if variant in golden_set.V2:
        assert "bn=batch: every normalisation uses the image's own statistics" in result.stderr


@OWN_KINDS
def test_distill_learns_from_a_network_of_ones_own(own, kind):
    name, words = own[kind]
    result = run("distill", "--teacher", name, *words, *QUICK)
    assert "no loss on features" in result.stderr
    _, metadata = load_student("edgedeblur-work/student.safetensors")
    assert metadata["teacher"]["family"] == "custom" and metadata["recipe"]["losses"]["feature"] == 0


def test_distill_takes_the_features_of_a_module_that_is_named(own):
    """Measured on pairs whose sharp side is what the network makes of the other, so that it is ahead and teaches."""
    name, words = own["python"]
    picture = read_image("photos/a.png")
    write_image(Path("wanted/blur/1.png"), picture)
    write_image(Path("wanted/sharp/1.png"), expected_of_own(picture))
    measured = ("--validation", "wanted")
    result = run("distill", "--teacher", name, *words, "--bottleneck", "down", *measured, *QUICK)
    assert "no loss on features" not in result.stderr
    assert load_student("edgedeblur-work/student.safetensors")[1]["recipe"]["losses"]["feature"] > 0


@OWN_KINDS
def test_evaluate_inspect_deblur_and_export_take_a_network_of_ones_own(own, kind):
    name, words = own[kind]
    blur = read_image("pairs/blur/a.png")
    run("deblur", "pairs/blur/a.png", "out.png", "-m", name, *words)
    assert np.abs(read_image("out.png").astype(int) - expected_of_own(blur)).max() <= 1
    run("evaluate", "pairs", "-m", name, *words, "--json", "scores.json")
    assert json.loads(Path("scores.json").read_text())["models"][0]["kind"] == "teacher"
    assert "custom" in run("inspect", name, *words).stdout
    run("export", "--format", "onnx", name, "-o", "own.onnx", "--size", "32x40", *words)
    assert np.abs(onnx_output("own.onnx", blur[:32, :40]) - expected_of_own(blur[:32, :40]) / 255).max() <= 1.5 / 255


def test_options_for_a_network_of_ones_own_go_to_it_among_several_models(own, small_v1):
    name, words = own["python"]
    run("evaluate", "pairs", "-m", name, "-m", small_v1, *words, "--json", "scores.json")
    assert [m["parameters"] > 1000 for m in json.loads(Path("scores.json").read_text())["models"]] == [False, True]


def test_a_program_must_be_trusted_and_has_no_modules_to_watch(own):
    assert "--trust-program" in run("inspect", "own.pt2", code=1).stderr
    assert "no module inside one can be watched" in run("inspect", "own.pt", "--bottleneck", "down", code=2).stderr


def test_a_program_of_a_fixed_size_is_refused_before_the_run(here):
    program = torch.export.export(my_networks.Halving().eval(), (torch.rand(1, 3, 32, 32),))
    torch.export.save(program, "fixed.pt2")
    result = run("distill", "--teacher", "fixed.pt2", "--trust-program", *OWN, *QUICK, code=1)
    assert "exported for 32x32" in result.stderr and "cannot take 40x44" in result.stderr


def test_a_network_in_the_current_folder_is_found(here):
    Path("net_in_folder.py").write_text("import torch\nclass Net(torch.nn.Identity):\n    pass\n")
    assert "net_in_folder:Net" in run("inspect", "net_in_folder:Net").stdout


@pytest.mark.parametrize(
    ("module", "code"),
    [("raises", "raise OSError('no')"), ("fails", "def Net():\n    raise OSError('no')"), ("asks", "def Net(a): ...")],
)
def test_code_that_fails_is_a_message(here, module, code):
    Path(f"net_that_{module}.py").write_text(code)
    assert "fails: " in run("inspect", f"net_that_{module}:Net", code=1).stderr


def test_weights_for_a_file_are_refused(small_v1):
    message = "weights are for a network given as package.module:callable"
    assert message in run("inspect", small_v1, "--weights", small_v1, code=2).stderr


def onnx_output(path, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255
    return session.run(["restored"], {"image": pixels})[0][0].transpose(1, 2, 0)


@pytest.mark.parametrize("variant", ["v1_head_dropout", "v2_fpn_mobilenet", "v2_fpn_inception"])
def test_export_writes_every_published_teacher_as_onnx(golden, here, variant):
    path = golden.file(variant)
    result = run("export", "--format", "onnx", path, "-o", "net.onnx", "--size", "40x44")
    difference = re.search(r"ONNX Runtime's result differs by at most (\S+) of 1", result.stderr)
    assert float(difference[1]) <= 2e-4
    image = read_image("pairs/blur/a.png")
    restored = (onnx_output("net.onnx", image) * 255).astype(int)
    assert np.abs(restored - golden.generator(variant).restore(image)).max() <= 1


def test_export_writes_a_unet_as_onnx_under_its_own_name(here):
    config = UNetConfig(widths=(8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1))
    network = build_unet(config)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    save_model("unet.safetensors", UNET, network.state_dict(), config.to_json(), {})
    assert run("export", "--format", "onnx", "unet.safetensors", "--size", "40x44").stdout == "unet.onnx\n"
    image = read_image("pairs/blur/a.png")
    restored = np.rint(onnx_output("unet.onnx", image) * 255)
    assert np.abs(restored - load_generator("unet.safetensors").restore(image)).max() <= 1


@pytest.mark.parametrize("variant", golden_set.V2)
def test_deblur_restores_a_file_as_upstreams_predictor(golden, here, variant):
    arrays = golden.arrays(variant)
    write_image("blurred.png", arrays["e2e_in"])
    result = run("deblur", "blurred.png", "restored.png", "-m", golden.file(variant))
    difference = np.abs(read_image("restored.png").astype(int) - arrays["e2e_out"])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01
    assert "bn=batch: every normalisation uses the image's own statistics" in result.stderr


@pytest.mark.parametrize("words", [["--format", "tflite"], ["--format", "onnx", "--form", "qdq"]])
def test_a_teacher_is_exported_as_float_onnx_only(small_v1, words):
    assert "float32 ONNX only" in run("export", *words, small_v1, code=2).stderr


def inspected(*words) -> str:
    """The rows of `inspect`'s first table, one a line; what is folded is joined again."""
    rows = []
    for label, text in re.findall(r"^│ (.*?) │ (.*?) *│$", run("inspect", *words).stdout, re.MULTILINE):
        if label.strip():
            rows.append(f"{label.strip()}: {text}")
        else:
            rows[-1] += f" {text}"
    return "\n".join(rows)


def test_inspect_tells_what_a_v2_file_is_and_what_its_mode_means(golden, here):
    shown = inspected(golden.file("v2_fpn_mobilenet"), "--bn", "running")
    for text in (
        "deblurgan-v2, fpn_mobilenet",
        "3,312,707 in the file, 2,106,627 that run",
        "2.709 at 256x256 (3.428 as padded to 288x288)",
        "RGB, (x / 255 - 0.5) / 0.5, in [-1, 1]",
        "bn=running: BatchNorm and InstanceNorm use the statistics stored in the file",
        "with --bn batch: every normalisation uses the image's own statistics",
        "with --bn mixed: ",
    ):
        assert text in shown


def test_inspect_tells_the_options_that_a_v1_file_shows_and_those_it_does_not(small_v1, here):
    shown = inspected(small_v1, "--no-learn-residual")
    for text in ("resnet_6blocks", "block_layout: dropout", "ngf: 5", "upsample_kernel: 3", "learn_residual: no"):
        assert text in shown
    assert "learn_residual=True is assumed" in inspected(small_v1)


def test_inspect_shows_how_near_an_unknown_file_is(small_v1_state, tmp_path):
    state = {name: tensor for name, tensor in small_v1_state.items() if name != "model.7.weight"}
    torch.save(state | {"attention.weight": torch.zeros(2)}, tmp_path / "near.pth")
    message = run("inspect", tmp_path / "near.pth", code=1).stderr
    for text in ("35 of 36", "Nearest is DeblurGAN v1", "missing: model.7.weight", "unexpected: attention.weight"):
        assert text in message


def test_half_precision_is_taken_when_told_so(small_v1_state, tmp_path):
    torch.save({name: tensor.half() for name, tensor in small_v1_state.items()}, tmp_path / "half.pth")
    assert "--accept-half" in run("inspect", tmp_path / "half.pth", code=1).stderr
    assert "resnet_6blocks" in run("inspect", tmp_path / "half.pth", "--accept-half").stdout


def test_a_teachers_digest_is_its_files_or_its_tensors(own, small_v1):
    assert len({load_generator(path).digest() for path in (small_v1, "my_networks:Halving")}) == 2
    interface = Interface((0.0, 1.0), 4)
    torch.manual_seed(1)
    first = load_generator("my_networks:Halving", interface=interface)
    torch.manual_seed(2)
    assert first.digest() != load_generator("my_networks:Halving", interface=interface).digest()
