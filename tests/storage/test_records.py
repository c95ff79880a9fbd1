"""The one reader of records: what it takes, and that each refusal names file, key, value and what is allowed."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, read_contents
from edgedeblur.storage.documents import MAX_DEPTH, parse_json, read_json, read_toml
from edgedeblur.storage.records import Rules, read_record

FILE = Origin("a.json", "make it again", 2)


@dataclass(frozen=True)
class Part:
    name: str
    size: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Whole:
    count: int
    ratio: float = 0.5
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    parts: tuple[Part, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    note: str | None = None

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("count is 13; any other number is allowed")


def test_a_record_is_read_with_its_defaults_and_an_integer_for_a_float():
    values = {"count": 2, "ratio": 1, "parts": [{"name": "x", "size": [3, 4]}], "scores": {"p": 2}, "note": None}
    assert read_record(Whole, values, FILE) == Whole(2, 1.0, parts=(Part("x", (3, 4)),), scores={"p": 2.0})
    assert type(read_record(Whole, values, FILE).ratio) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "key count is missing; needed are count"),
        ({"count": 1, "cuont": 2}, "unknown key cuont; allowed are count, ratio, kind"),
        ({"count": "1"}, "count = '1'; an integer is needed"),
        ({"count": True}, "count = True; an integer is needed"),
        ({"count": 1.0}, "count = 1.0; an integer is needed"),
        ({"count": 2**63}, "count = 9223372036854775808; an integer of at most 64 bits is needed"),
        ({"count": 13}, "count is 13; any other number is allowed"),
        ({"count": 1, "ratio": float("nan")}, "ratio = nan; a finite number below 1e+30 is needed"),
        ({"count": 1, "ratio": 1e30}, "ratio = 1e+30; a finite number"),
        ({"count": 1, "ratio": 10**400}, "ratio = 1e+30; a finite number"),
        ({"count": 1, "ratio": False}, "ratio = False; a number is needed"),
        ({"count": 1, "kind": "c"}, "kind = 'c'; allowed are a, b"),
        ({"count": 1, "kind": []}, "kind = []; allowed are a, b"),
        ({"count": 1, "flag": 1}, "flag = 1; true or false is needed"),
        ({"count": 1, "parts": {}}, "parts = {}; a list is needed"),
        ({"count": 1, "parts": [{"name": "x"}, 3]}, "parts[1] = 3; a table is needed"),
        ({"count": 1, "parts": [{"name": "x", "size": [1]}]}, "parts[0].size = [1]; a list of 2 values is needed"),
        ({"count": 1, "parts": [{"name": "x", "size": [1, "2"]}]}, "parts[0].size[1] = '2'; an integer is needed"),
        ({"count": 1, "scores": {"p": None}}, "scores.p = None; a number is needed"),
        ({"count": 1, "note": 5}, "note = 5; a string is needed"),
        ([1], "not a table"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place_and_what_is_allowed(values, message):
    with pytest.raises(UserError) as refused:
        read_record(Whole, values, FILE)
    assert refused.value.message.startswith(f"a.json: {message}")
    assert (refused.value.fix, refused.value.exit_code) == ("make it again", 2)


def test_further_keys_and_complete_records_are_asked_for():
    assert read_record(Whole, {"count": 1, "x": [], "parts": [{"name": "p", "y": 1}]}, Rules(FILE, further_keys=True))
    with pytest.raises(UserError, match="key ratio is missing"):
        read_record(Whole, {"count": 1}, Rules(FILE, complete=True))


def test_a_long_value_is_shortened():
    with pytest.raises(UserError) as refused:
        read_record(Whole, {"count": "x" * 10**6}, FILE)
    assert len(refused.value.message) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["count", "ratio", "kind", "flag", "parts", "scores", "note"]), json_values))
def test_any_table_is_a_record_or_a_message(values):
    try:
        assert isinstance(read_record(Whole, values, FILE), Whole)
    except UserError as error:
        assert error.message.startswith("a.json: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": 1e999}', "1e999 is not a finite number"),
        ('{"a": -Infinity}', "not a finite number"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"a": ' + "9" * 101 + "}", "an integer has more than 100 digits"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than 64 deep"),
        ('{"a": ' + "[" * 64 + "]" * 64 + "}", "nested more than 64 deep"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"\\ud800": 1}', "half a surrogate pair"),
        (b"\xff\xfe{}", "not valid JSON"),
    ],
)
def test_json_beyond_the_bounds_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_json(text, FILE)


def test_json_within_the_bounds_is_what_pythons_own_reader_gives():
    text = '{"a": ' + "[" * (MAX_DEPTH - 1) + '"\\u00e9\\u0000"' + "]" * (MAX_DEPTH - 1) + ', "b": ' + "9" * 100 + "}"
    assert parse_json(text, FILE) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [", "not TOML"),
        ("a = " + "[" * 50_000, "not TOML: lists and tables are nested more than 64 deep"),
        ("a = " + "{a = " * 400 + "1" + "}" * 400, "nested more than 64 deep"),
        (".".join("a" * 100) + " = 1", "a dotted key has more than 64 parts"),
        (".".join(['"a"'] * 200_000) + " = 1", "a dotted key has more than 64 parts"),
        ("a = " + "9" * 5000, "not TOML"),
        ("a = 1e999", "1e999 is beyond the largest number"),
        (b"a = '\xff'", "not TOML"),
        ("#" * (5 << 20), "more than the 4,194,304 bytes"),
    ],
)
def test_toml_beyond_the_bounds_is_refused(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_toml(path, Origin(str(path)))


def test_a_long_line_of_numbers_is_no_dotted_key(tmp_path):
    (tmp_path / "a.toml").write_text("a = [" + "0.5, " * 2_000 + "]\nb = '" + "a.b " * 500 + "'\n")
    assert len(read_toml(tmp_path / "a.toml", FILE)["a"]) == 2_000


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def folder(path):
    path.mkdir()


def absent(path):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (pipe, "is a named pipe, not a regular file"),
        (device, "is a device, not a regular file"),
        (folder, "is a folder"),
        (absent, "No such file"),
    ],
)
@pytest.mark.parametrize("read", [read_json, read_toml, lambda path, origin: read_contents(path, 5, origin)])
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path, make, message, read):
    path = tmp_path / "file"
    make(path)
    with pytest.raises(UserError, match=message) as refused:
        read(path, Origin(str(path)))
    assert str(path) in refused.value.message


def test_a_file_with_more_bytes_than_allowed_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"123456")
    assert read_contents(tmp_path / "a", 6, FILE) == b"123456"
    with pytest.raises(UserError, match="more than the 5 bytes"):
        read_contents(tmp_path / "a", 5, FILE)


def test_a_high_limit_takes_no_memory(tmp_path):
    (tmp_path / "a").write_bytes(b"123456")
    assert read_contents(tmp_path / "a", 1 << 50, FILE) == b"123456"
    assert read_contents(Path("/proc/self/cmdline"), 1 << 20, FILE)  # its size is given as 0
