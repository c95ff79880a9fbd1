"""`edgedeblur synth`: pairs in GoPro's layout that another run, an interrupted one or a longer one makes the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgedeblur.cli.main import cli
from edgedeblur.data import synth
from edgedeblur.data.images import read_image, write_image
from edgedeblur.data.pairs import find_pairs


def run(*words, code=0):
    result = CliRunner().invoke(cli, ["synth", *map(str, words)])
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result


@pytest.fixture
def here(tmp_path, monkeypatch):
    """photos/ with two photographs and video/ with nine frames that brighten by 20."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(f"photos/{name}.png", rng.integers(0, 256, (120, 100, 3), dtype=np.uint8))
    for index in range(9):
        write_image(f"video/{index}.png", np.full((50, 60, 3), 40 + 20 * index, np.uint8))
    return tmp_path


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def records(folder) -> list[dict]:
    return [json.loads(line) for line in (Path(folder) / "pairs.jsonl").read_text().splitlines()]


def test_pairs_have_gopros_layout_and_say_how_they_were_made(here):
    run("out", "--data", "photos", "--count", 6, "--size", "40x56", "--kind", "defocus", "--kind", "object")
    pairs = find_pairs("out")
    assert [pair.name for pair in pairs] == [f"{index:06}.png" for index in range(6)]
    for pair, record in zip(pairs, records("out"), strict=True):
        blur, sharp = pair.read()
        assert blur.shape == (40, 56, 3) and not np.array_equal(blur, sharp)
        assert record["name"] == pair.name and record["source"] in ("a.png", "b.png")
        assert record["model"] in ("defocus", "object") and record["radius"] > 0
    assert {record["model"] for record in records("out")} == {"defocus", "object"}


def test_frames_are_averaged_and_their_window_is_recorded(here):
    run("out", "--data", "frames:video", "--count", 3, "--size", "32x32")
    for record in records("out"):
        first, last = (int(record[key][0]) for key in ("first_frame", "last_frame"))
        assert record["model"] == "gopro" and last - first + 1 == record["frames"] >= 7
        values = 40 + 20 * np.arange(first, last + 1)
        mean = 255 * np.mean((values / 255) ** 2.2) ** (1 / 2.2)
        assert read_image(f"out/blur/{record['name']}")[5, 5, 0] == pytest.approx(mean, abs=0.51)
        assert read_image(f"out/sharp/{record['name']}")[5, 5, 0] == values[record["frames"] // 2]


def test_the_same_options_give_the_same_bytes_and_another_seed_others(here):
    for folder, seed in (("one", 1), ("two", 1), ("three", 2)):
        run(folder, "--data", "photos", "--count", 3, "--size", "32x32", "--seed", seed)
    assert contents("one") == contents("two")
    assert contents("one")["blur/000000.png"] != contents("three")["blur/000000.png"]


def test_a_run_that_was_broken_off_goes_on_to_the_same_pairs(here, monkeypatch):
    words = ["--data", "photos", "--count", 5, "--size", "32x32"]
    run("whole", *words)
    written = []

    def write(path, image):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        write_image(path, image)

    with monkeypatch.context() as patch:
        patch.setattr(synth, "write_image", write)
        assert "to resume: edgedeblur synth broken" in run("broken", *words, code=130).stderr
    with (here / "broken/pairs.jsonl").open("a") as log:
        log.write('{"name": "0000')  # as a power cut leaves it
    assert len(list((here / "broken/blur").iterdir())) == 2
    run("broken", *words)
    assert contents("broken") == contents("whole")


def test_more_pairs_are_added_and_a_lost_one_is_made_again(here):
    run("grown", "--data", "photos", "--count", 2, "--size", "32x32")
    (here / "grown/blur/000001.png").unlink()
    run("grown", "--data", "photos", "--count", 4, "--size", "32x32")
    run("whole", "--data", "photos", "--count", 4, "--size", "32x32")
    assert contents("grown") == contents("whole")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--seed", 1], "seed 0, not 1"), (["--size", "48x32"], "size"), (["--kind", "linear"], "recipe")],
)
def test_pairs_of_other_options_are_not_mixed(here, words, message):
    run("out", "--data", "photos", "--count", 1, "--size", "32x32")
    before = contents("out")
    assert message in run("out", "--data", "photos", "--count", 2, "--size", "32x32", *words, code=1).stderr
    assert contents("out") == before


def test_a_folder_of_other_pairs_and_ready_pairs_as_data_are_refused(here):
    for side in ("blur", "sharp"):
        write_image(f"gopro/{side}/1.png", np.zeros((40, 40, 3), np.uint8))
    assert "that edgedeblur synth did not make" in run("gopro", "--data", "photos", code=1).stderr
    assert "photos:gopro/sharp" in run("out", "--data", "gopro", code=2).stderr
    assert "leave --kind out" in run("out", "--data", "frames:video", "--kind", "linear", code=2).stderr
    run("out", "--data", "photos:gopro/sharp", "--count", 1, "--size", "32x32")


def test_the_blur_table_of_a_recipe_is_taken(here):
    Path("r.toml").write_text("[fitting]\nbatch = 3\n[blur]\nlinear_share = 1\nshake_share = 0\nturn_share = 0\n")
    with Path("r.toml").open("a") as file:
        file.write("still_share = 0\nmin_length = 33\nmax_length = 60\n")
    run("out", "--data", "photos", "--recipe", "r.toml", "--count", 4, "--size", "32x32")
    assert all(record["model"] == "linear" and 33 <= record["length"] <= 60 for record in records("out"))


def test_recordings_of_a_phone_are_what_blur_is_drawn_from(here):
    rows = [f"{t},0,0,{2 + np.sin(20 * t)}" for t in np.arange(0, 1, 0.005)]
    Path("phone").mkdir()
    Path("phone/mine.csv").write_text("\n".join(["t_s,wx_rad_s,wy_rad_s,wz_rad_s", *rows]))
    words = ["--data", "photos", "--count", 2, "--size", "32x32", "--kind", "recorded"]
    run("out", *words, "--shake", "phone")
    assert all(record["recording"] == "mine.csv" for record in records("out"))
    assert json.loads(Path("out/synth.json").read_text())["data"][1] == "1 recordings of phone, 1.0 s"
    assert "data" in run("out", *words, code=1).stderr  # the model's are other pairs
    run("modelled", *words)
    assert all(record["recording"] == "model" for record in records("modelled"))
    assert "recorded_share is 0" in run("none", *words[:-1], "linear", "--shake", "phone", code=1).stderr
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fitting]\n", "no table [blur]"),
        ("[blur]\nshake = 1\n", "unknown key blur.shake"),
        ("[blur]\nmin_length = 90\n", "min_length is 90"),
        ("no toml", "recipe r.toml"),
    ],
)
def test_a_recipe_that_does_not_fit_is_a_message(here, text, message):
    Path("r.toml").write_text(text)
    assert message in run("out", "--recipe", "r.toml", code=1).stderr
    assert "no recipe none.toml" in run("out", "--recipe", "none.toml", code=1).stderr


def test_a_contact_sheet_shows_sharp_beside_blurred(here):
    run("out", "--data", "photos", "--count", 4, "--size", "32x32", "--contact-sheet", "sheet.png")
    sheet = read_image("sheet.png")
    sharp, blur = (read_image(f"out/{side}/000000.png") for side in ("sharp", "blur"))
    assert any(np.array_equal(sheet[22:54, left : left + 32], sharp) for left in range(20))
    assert any(np.array_equal(sheet[22:54, left : left + 32], blur) for left in range(240, 270))


@pytest.mark.parametrize("words", [["--size", "8x8"], ["--kind", "zoom"], ["--count", "0"]])
def test_impossible_values_are_bad_use(here, words):
    run("out", "--data", "photos", *words, code=2)
    assert not Path("out").exists()
