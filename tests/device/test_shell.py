"""Commands on a phone: output, errors and status, however the network cuts them into pieces; nothing waits for ever."""

import socket
import struct
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeblur.device.errors import BadAnswer, PhoneGone, PhoneSilent
from edgedeblur.device.shell import Phone, RunningCommand, run


class Wire:
    """A connection of adbutils whose other end the test holds."""

    def __init__(self):
        self.conn, self.far = socket.socketpair()

    def send_command(self, text):
        self.command = text

    def check_okay(self):
        pass

    def close(self):
        self.conn.close()
        self.far.close()


def phone_on(wire):
    return Phone("wired", SimpleNamespace(open_transport=lambda timeout: wire))


def packet(kind, data):
    return struct.pack("<BI", kind, len(data)) + data


def test_output_errors_and_status_come_apart(phone):
    answer = run(phone[1], "echo out; echo err >&2; exit 9")
    assert (answer.output, answer.errors, answer.status) == ("out\n", "err\n", 9)


def test_a_command_ended_by_a_signal_has_128_and_its_number(phone):
    assert run(phone[1], "kill -TERM $$").status == 128 + 15


def test_a_command_that_says_nothing_is_given_up_and_ended_on_the_phone(phone):
    played, connection = phone
    begin = time.monotonic()
    with pytest.raises(PhoneSilent, match="did not respond for 0.3 s"):
        run(connection, "echo $$ >data/pid; exec sleep 100", 0.3)
    assert time.monotonic() - begin < 30
    process = Path("/proc") / played.place("/data/pid").read_text().strip()
    for _ in range(100):
        if not process.exists():
            break
        time.sleep(0.05)
    assert not process.exists()


@given(
    pieces=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=6),
    status=st.integers(0, 255),
    cut=st.integers(1, 9),
)
def test_packets_are_read_alike_in_pieces_of_any_size(pieces, status, cut):
    sent = b"".join(packet(kind, data) for kind, data in pieces) + packet(3, bytes([status]))
    wire = Wire()
    heard = {False: b"", True: b""}
    with RunningCommand(phone_on(wire), "true") as command:
        for start in range(0, len(sent), cut):
            assert command.status is None
            wire.far.sendall(sent[start : start + cut])
            for is_error, data in command.poll(5):
                heard[is_error] += data
    assert command.status == status and wire.command == "shell,v2,raw:true"
    for kind, is_error in ((1, False), (2, True)):
        assert heard[is_error] == b"".join(data for which, data in pieces if which == kind)


def test_a_connection_that_ends_before_the_command_is_a_lost_phone():
    wire = Wire()
    with RunningCommand(phone_on(wire), "true") as command:
        wire.far.sendall(packet(1, b"half")[:-2])
        wire.far.shutdown(socket.SHUT_WR)
        assert command.poll(5) == []
        with pytest.raises(PhoneGone, match="the connection ended while a command ran"):
            command.poll(5)


def test_what_is_not_the_shell_protocol_is_not_waited_for():
    wire = Wire()
    with RunningCommand(phone_on(wire), "true") as command:
        wire.far.sendall(b"Permission denied")
        with pytest.raises(BadAnswer, match="does not speak the shell protocol"):
            command.poll(5)
