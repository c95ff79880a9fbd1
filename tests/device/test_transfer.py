"""Files reach the phone whole or not at all, and only those that it does not have."""

import hashlib
import time

import pytest
from adbd.phone import Faults

from edgedeblur.device.connect import choose_phone
from edgedeblur.device.errors import PhoneGone, PhoneSilent
from edgedeblur.device.transfer import REMOTE_ROOT, pull, push, remote_folder, remove_all
from edgedeblur.errors import UserError

CONTENT = hashlib.shake_256(b"edgedeblur").digest(300_000)
FOLDER = remote_folder("test")


def names(played):
    return sorted(path.name for path in played.place(FOLDER).glob("*"))


def test_only_files_that_have_changed_are_sent_again(phone, tmp_path):
    played, connection = phone
    (tmp_path / "program").write_bytes(CONTENT)
    files = {"program": tmp_path / "program", "input": b"pixels"}
    assert push(connection, FOLDER, files) == ["program", "input"]
    assert push(connection, FOLDER, files) == []
    assert push(connection, FOLDER, {**files, "input": b"pixelz"}) == ["input"]
    played.place(f"{FOLDER}/program").write_bytes(CONTENT[:-1] + b"?")  # the same size and date say nothing
    assert push(connection, FOLDER, files) == ["program", "input"]
    assert played.place(f"{FOLDER}/program").read_bytes() == CONTENT
    assert played.place(f"{FOLDER}/program").stat().st_mode & 0o111
    assert names(played) == ["input", "program"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000])
def test_what_was_pushed_is_pulled_unchanged(phone, size):
    _, connection = phone
    push(connection, FOLDER, {"file": CONTENT[:size]})
    assert pull(connection, f"{FOLDER}/file") == CONTENT[:size]


def test_progress_counts_the_bytes_of_all_files(phone):
    _, connection = phone
    told = []
    push(connection, FOLDER, {"a": CONTENT, "b": b"12"}, progress=lambda *words: told.append(words))
    assert told[0] == ("pushing a", 65_536, 300_002) and told[-1] == ("pushing b", 300_002, 300_002)


def test_a_file_that_is_not_there_is_a_message(phone):
    with pytest.raises(UserError, match="cannot read /data/local/tmp/edgedeblur/none: .*No such file"):
        pull(phone[1], f"{REMOTE_ROOT}/none")


@pytest.mark.parametrize("name", ["../up", "a b", "", "$(reboot)", "-f", "a/b"])
def test_names_that_a_shell_would_read_are_refused(phone, name):
    with pytest.raises(UserError, match="is not a file name for a phone"):
        push(phone[1], FOLDER, {name: b""})
    assert not phone[0].services[1:]


@pytest.mark.parametrize("name", ["small-512x512-android", "my net; reboot", "../..", ""])
def test_every_artefact_has_a_folder_below_ours(name):
    folder = remote_folder(name)
    assert folder.startswith(f"{REMOTE_ROOT}/") and len(folder.split("/")) == 6
    assert not set(folder) & set(" ;'\"$&|") and ".." not in folder.split("/")


def test_too_little_room_is_seen_before_anything_is_sent(phone):
    played, connection = phone
    played.place("/df").write_text(
        "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/x 9000 8000 1000 89% /data\n"
    )
    with pytest.raises(UserError, match="has no room in /data/local/tmp/edgedeblur: 1.0 MB free, 4.5 MB needed"):
        push(connection, FOLDER, {"program": CONTENT})
    assert played.pushed_bytes == 0


def test_a_disk_that_fills_up_meanwhile_leaves_no_part_of_a_file(phone):
    played, connection = phone
    push(connection, FOLDER, {"program": b"before"})
    played.faults.storage_bytes = 100_000
    with pytest.raises(UserError, match="has no room .*No space left on device") as raised:
        push(connection, FOLDER, {"program": CONTENT})
    assert raised.value.fix == "free some storage on the phone"
    assert names(played) == ["program"] and played.place(f"{FOLDER}/program").read_bytes() == b"before"


def test_unplugging_in_mid_push_is_a_message_and_leaves_the_old_file(phone):
    played, connection = phone
    push(connection, FOLDER, {"program": b"before"})
    played.faults.vanish_after_pushed = 100_000
    with pytest.raises(PhoneGone, match=f"phone {played.serial} went away"):
        push(connection, FOLDER, {"program": CONTENT})
    assert played.place(f"{FOLDER}/program").read_bytes() == b"before"


def test_a_slow_link_takes_its_time_and_every_byte_arrives(fake):
    played = fake(faults=Faults(bytes_per_second=400_000))
    connection = choose_phone(played.serial)
    begin = time.monotonic()
    push(connection, FOLDER, {"program": CONTENT}, timeout_s=5)
    assert time.monotonic() - begin > 0.7  # 0.75 s at that rate: the link was slow indeed
    assert played.place(f"{FOLDER}/program").read_bytes() == CONTENT


def test_a_link_that_stalls_is_given_up(phone):
    played, connection = phone
    push(connection, FOLDER, {"program": b"before"})
    played.faults.bytes_per_second = 100.0
    with pytest.raises(PhoneSilent, match="did not respond for 0.5 s") as raised:
        push(connection, FOLDER, {"program": CONTENT}, timeout_s=0.5)
    assert "--timeout" in raised.value.fix


def test_everything_is_removed_and_nothing_else(phone):
    played, connection = phone
    played.place("/data/local/tmp/other").write_text("the user's")
    push(connection, FOLDER, {"program": CONTENT})
    remove_all(connection)
    assert [path.name for path in played.place("/data/local/tmp").iterdir()] == ["other"]
