"""An .edq file gives back the network it was made from, and anything else is refused with one clear message."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from networks import random_network, single_layer_spec, tiny_spec

from edgedeblur.errors import UserError
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.network import QuantisedNetwork


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def assert_same(first: QuantisedNetwork, second: QuantisedNetwork) -> None:
    for field in ("spec", "tensors", "recipe", "provenance"):
        assert getattr(first, field) == getattr(second, field)
    for one, other in zip(first.layers, second.layers, strict=True):
        assert one.spec == other.spec
        assert one.residual_scale == other.residual_scale
        for kind in ("weight", "bias", "scale", "weight_scale"):
            assert getattr(one, kind).dtype == getattr(other, kind).dtype
            np.testing.assert_array_equal(getattr(one, kind), getattr(other, kind))


@pytest.mark.parametrize(
    "spec", [tiny_spec(), single_layer_spec(fold=4, residual="image"), single_layer_spec(kernel=1)]
)
def test_a_network_comes_back_as_it_was_saved(spec, tmp_path):
    network = random_network(spec, seed=4)
    save_edq(network, tmp_path / "a.edq")
    assert_same(load_edq(tmp_path / "a.edq"), network)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    save_edq(random_network(tiny_spec()), tmp_path / "a.edq")
    save_edq(load_edq(tmp_path / "a.edq"), tmp_path / "b.edq")
    assert (tmp_path / "a.edq").read_bytes() == (tmp_path / "b.edq").read_bytes()


def test_a_repacked_compressed_file_is_read_too(tmp_path):
    network = random_network(tiny_spec())
    save_edq(network, tmp_path / "a.edq")
    write(tmp_path / "b.edq", members(tmp_path / "a.edq"))
    assert_same(load_edq(tmp_path / "b.edq"), network)


def edited(change):
    """A mutation of network.json."""

    def mutate(contents: dict[str, bytes]) -> None:
        document = json.loads(contents["network.json"])
        change(document)
        contents["network.json"] = json.dumps(document).encode()

    return mutate


def layer(document: dict, name: str) -> dict:
    return next(entry for entry in document["student"]["layers"] if entry["name"] == name)


def replaced(member: str, data: bytes):
    return lambda contents: contents.__setitem__(member, data)


def array(member: str, change):
    """A mutation of one array."""

    def mutate(contents: dict[str, bytes]) -> None:
        value = np.load(io.BytesIO(contents[member]))
        contents[member] = npy(change(value))

    return mutate


def first(value):
    """Sets the first element of an array."""

    def change(values: np.ndarray) -> np.ndarray:
        values.flat[0] = value
        return values

    return change


def huge_header(contents: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    header = {"descr": "|i1", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(stream, header)
    contents["arrays/stem.weight.npy"] = stream.getvalue()


W, B, S = "arrays/stem.weight.npy", "arrays/stem.bias.npy", "arrays/stem.scale.npy"
HOSTILE = {
    "no network.json": (lambda c: c.pop("network.json"), "no network.json"),
    "an array is missing": (lambda c: c.pop(W), "missing or unexpected"),
    "a member too many": (replaced("arrays/../../evil.npy", b""), "missing or unexpected"),
    "not JSON": (replaced("network.json", b"{"), "not valid JSON"),
    "JSON of another kind": (replaced("network.json", b"[]"), "JSON object"),
    "JSON nested too deeply": (replaced("network.json", b"[" * 100_000), "not valid JSON"),
    "JSON of binary": (replaced("network.json", b"\xff\xfe\x00"), "not valid JSON"),
    "a huge network.json": (replaced("network.json", b" " * (5 << 20)), "larger than"),
    "NaN in JSON": (replaced("network.json", b'{"a": NaN}'), "not a finite number"),
    "infinity in JSON": (replaced("network.json", b'{"a": 1e999}'), "not a finite number"),
    "another format": (edited(lambda d: d.update(format="zip")), "its format is 'zip'"),
    "a future version": (edited(lambda d: d.update(version=2)), "version 2"),
    "no student": (edited(lambda d: d.pop("student")), "key student is missing"),
    "no layers": (edited(lambda d: d["student"].update(layers=[])), "0 layers"),
    "a layer that is no object": (edited(lambda d: d["student"].update(layers=[1])), "a table is needed"),
    "a field too many": (
        edited(lambda d: layer(d, "stem").update(padding=2)),
        "unknown key student.layers.*padding",
    ),
    "a text for a number": (edited(lambda d: layer(d, "stem").update(kernel="3")), "kernel = '3'; an integer"),
    "true for a number": (edited(lambda d: layer(d, "stem").update(stride=True)), "stride = True; an integer"),
    "an even kernel": (edited(lambda d: layer(d, "stem").update(kernel=2)), "kernel is 2"),
    "groups that do not divide": (edited(lambda d: layer(d, "stem").update(groups=5)), "do not divide by groups 5"),
    "groups of no channels": (edited(lambda d: layer(d, "stem").update(groups=0)), "do not divide by groups 0"),
    "a limit without ReLU": (edited(lambda d: layer(d, "stem").update(limit=6.0)), "limit is 6; it needs ReLU"),
    "slopes that are not there": (edited(lambda d: layer(d, "stem").update(prelu=True)), "stem.negative_scale.npy"),
    "a negative stride": (edited(lambda d: layer(d, "down1").update(stride=-2)), "stride is -2"),
    "a name that is a path": (edited(lambda d: layer(d, "stem").update(name="../stem")), "bad layer name"),
    "two layers of one name": (edited(lambda d: layer(d, "down1").update(name="stem")), "'stem'"),
    "a source that comes later": (edited(lambda d: layer(d, "stem").update(source="head")), "reads 'head'"),
    "a residual of another shape": (edited(lambda d: layer(d, "enc0.0.b").update(residual="image")), "another shape"),
    "channels that do not fit": (edited(lambda d: layer(d, "down1").update(in_channels=9)), "takes 9 channels"),
    "too many channels": (edited(lambda d: layer(d, "stem").update(out_channels=10**9)), "channels; allowed"),
    "an output that is no image": (edited(lambda d: d["student"]["layers"].pop()), "must give an image"),
    "an unknown bottleneck": (edited(lambda d: d["student"].update(bottleneck="x")), "bottleneck"),
    "a zero multiple": (edited(lambda d: d["student"].update(multiple=0)), "multiple is 0"),
    "a tensor without a scale": (edited(lambda d: d["tensors"].pop("stem")), "exactly the network's tensors"),
    "a negative scale": (edited(lambda d: d["tensors"]["stem"].update(scale=-0.1)), "not a positive number"),
    "a text for a scale": (edited(lambda d: d["tensors"]["stem"].update(scale="0.1")), "stem.scale = '0.1'; a number"),
    "a zero point out of range": (edited(lambda d: d["tensors"]["stem"].update(zero_point=128)), "zero point 128"),
    "a fractional zero point": (
        edited(lambda d: d["tensors"]["stem"].update(zero_point=0.5)),
        "zero_point = 0.5; an integer",
    ),
    "an image of another scale": (edited(lambda d: d["tensors"]["image"].update(scale=0.1)), "must be an image"),
    "another residual scale": (edited(lambda d: d["residual_scales"].update({"head": 3.0})), "residual_scale"),
    "no residual scale": (edited(lambda d: d["residual_scales"].pop("head")), "residual without its scale"),
    "a residual scale too many": (edited(lambda d: d["residual_scales"].update(stem=1)), "residual without its scale"),
    "a recipe that is no object": (edited(lambda d: d.update(recipe=[])), "recipe = \\[\\]; a table"),
    "float weights": (array(W, lambda w: w.astype(np.float32)), "int8 array|larger than"),
    "unsigned weights": (array(W, lambda w: w.view(np.uint8)), "must be an int8 array"),
    "weights of another shape": (array(W, lambda w: w.reshape(-1)), "must be an int8 array"),
    "weights in Fortran order": (array(W, np.asfortranarray), "C order"),
    "a weight of -128": (array(W, first(-128)), "-128"),
    "pickled weights": (replaced(W, pickle.dumps([1])), "not an .npy array"),
    "object weights": (replaced(B, npy(np.array([None] * 8))), "int32 array|not an .npy array|larger than"),
    "a header without its data": (huge_header, "must be an int8 array"),
    "a truncated array": (lambda c: c.update({W: c[W][:-1]}), "must be an int8 array"),
    "a zip bomb": (replaced(W, b"\0" * (64 << 20)), "larger than"),
    "a NaN scale": (array(S, first(np.nan)), "not a positive number"),
    "an infinite scale": (array(S, first(np.inf)), "not a positive number"),
    "a zero scale": (array(S, first(0)), "not a positive number"),
    "a scale that does not follow": (array(S, first(0.5)), "is not source scale"),
    "a bias that overflows": (array(B, first(2**31 - 1)), "int32 holds less than"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_with_one_message(case, tmp_path):
    mutate, message = HOSTILE[case]
    save_edq(random_network(tiny_spec()), tmp_path / "a.edq")
    contents = members(tmp_path / "a.edq")
    mutate(contents)
    write(tmp_path / "b.edq", contents)
    with pytest.raises(UserError, match=message) as raised:
        load_edq(tmp_path / "b.edq")
    assert "b.edq" in raised.value.message
    assert len(raised.value.message) < 500


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_a_truncated_file_is_refused(size, tmp_path):
    save_edq(random_network(tiny_spec()), tmp_path / "a.edq")
    (tmp_path / "b.edq").write_bytes((tmp_path / "a.edq").read_bytes()[:size])
    with pytest.raises(UserError, match="not an .edq file"):
        load_edq(tmp_path / "b.edq")


def test_a_flipped_byte_is_noticed(tmp_path):
    save_edq(random_network(tiny_spec()), tmp_path / "a.edq")
    data = bytearray((tmp_path / "a.edq").read_bytes())
    data[data.index(b"arrays/stem.weight.npy") + 600] ^= 1
    (tmp_path / "b.edq").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        load_edq(tmp_path / "b.edq")


def test_members_of_the_same_name_are_refused(tmp_path):
    save_edq(random_network(tiny_spec()), tmp_path / "a.edq")
    with zipfile.ZipFile(tmp_path / "a.edq", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("network.json", b"{}")
    with pytest.raises(UserError, match="same name"):
        load_edq(tmp_path / "a.edq")


def test_no_file_and_a_folder_are_the_users_errors(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        load_edq(tmp_path / "none.edq")
    with pytest.raises(UserError, match="is a folder"):
        load_edq(tmp_path)


def test_a_network_that_breaks_the_rules_is_not_saved(tmp_path):
    network = random_network(tiny_spec())
    network.layers[0].scale[0] = np.nan
    with pytest.raises(UserError, match="not a positive number"):
        save_edq(network, tmp_path / "a.edq")
    assert not list(tmp_path.iterdir())
