"""A session in a Python program: any uint8 buffer, several threads, and the interpreter's lock let go of meanwhile."""

import ctypes
import sys
import threading
import time
from array import array

import numpy as np
import pytest
from artefacts import compiled, expected, noise
from PIL import Image

from edgedeblur.errors import UserError
from edgedeblur.runtime.session import Session


class HasInterface:
    def __init__(self, pixels: np.ndarray):
        self._pixels = pixels
        self.__array_interface__ = pixels.__array_interface__


BUFFERS = {
    "bytes": lambda image: image.tobytes(),
    "bytearray": lambda image: bytearray(image.tobytes()),
    "memoryview": lambda image: memoryview(image),
    "flat memoryview": lambda image: memoryview(image.tobytes()),
    "array.array": lambda image: array("B", image.tobytes()),
    "ctypes": lambda image: (ctypes.c_uint8 * image.size).from_buffer_copy(image),
    "flat array": lambda image: image.ravel(),
    "array interface": HasInterface,
    "Pillow": Image.fromarray,
    "not contiguous": lambda image: memoryview(np.repeat(image, 2, axis=1)[:, ::2]),
}


@pytest.fixture(scope="module")
def session():
    with Session(compiled("host"), threads=2) as opened:
        yield opened


@pytest.mark.parametrize("kind", BUFFERS)
def test_every_uint8_buffer_of_the_size_is_taken(session, kind):
    np.testing.assert_array_equal(session.run(BUFFERS[kind](noise(1))), expected(1))


def test_a_contiguous_buffer_is_read_in_place_and_left_alone(session, monkeypatch):
    buffer, seen = bytearray(noise().tobytes()), []
    library = session._library

    class Watched:
        def __getattr__(self, name):
            return getattr(library, name)

        def ed_run(self, model, source, output):
            seen.append(source)
            return library.ed_run(model, source, output)

    monkeypatch.setattr(session, "_library", Watched())
    session.run(buffer)
    assert seen == [ctypes.addressof(ctypes.c_uint8.from_buffer(buffer))]
    assert buffer == noise().tobytes()


@pytest.mark.parametrize(
    ("buffer", "named"),
    [
        (noise().tobytes()[:-1], r"uint8 \[18431\]"),
        (memoryview(noise()).cast("B").cast("b"), r" int8 \[64, 96, 3\]"),
        (array("H", noise().tobytes()), r"uint16 \[9216\]"),
        (memoryview(noise().astype(np.int32)), r"int32 \[64, 96, 3\]"),
        ("holiday.jpg", "type str"),
        (None, "type NoneType"),
        ([1, 2, 3], "type list"),
    ],
)
def test_other_buffers_are_refused(session, buffer, named):
    with pytest.raises(UserError, match=named):
        session.run(buffer)


def test_threads_may_share_a_session():
    wrong, seeds = [], (0, 1, 2)
    due = {seed: expected(seed) for seed in seeds}

    def work(seed: int) -> None:
        try:
            wrong.extend(seed for _ in range(50) if not np.array_equal(shared.run(noise(seed)), due[seed]))
        except Exception as error:
            wrong.append(error)

    with Session(compiled("host"), threads=2) as shared:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_close_waits_for_a_run_and_later_runs_are_told():
    session, ended = Session(compiled("host")), []
    library = session._library
    running = threading.Event()

    class Slow:
        def __getattr__(self, name):
            return getattr(library, name)

        def ed_run(self, *arguments):
            running.set()
            time.sleep(0.2)
            ended.append("run")
            return library.ed_run(*arguments)

        def ed_destroy(self, model):
            ended.append("destroy")
            library.ed_destroy(model)

    session._library = Slow()
    thread = threading.Thread(target=lambda: session.run(noise()))
    thread.start()
    running.wait()
    session.close()
    thread.join()
    assert ended == ["run", "destroy"]
    with pytest.raises(ValueError, match="closed"):
        session.run(noise())


def other_thread_goes_on(run) -> bool:
    """Whether another thread gets the GIL while `run` is called again and again. It gets it only where it is let go
    of: threads are not switched in the meantime."""
    seen, gate = [], threading.Lock()

    def other() -> None:
        with gate:
            seen.append(True)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        gate.acquire()
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.05)  # the other waits at the gate
        gate.release()
        for _ in range(300):
            run()
            if seen:
                break
        found = bool(seen)
    finally:
        sys.setswitchinterval(before)
    thread.join()
    return found


def test_other_threads_go_on_while_an_image_is_restored():
    image, output = noise(), np.empty_like(noise())
    with Session(compiled("host"), threads=1) as session:
        assert other_thread_goes_on(lambda: session.run(image))
        holding = ctypes.PyDLL(str(session.artefact.library.resolve())).ed_run  # the same call with the GIL held
        holding.argtypes = [ctypes.c_void_p] * 3
        arguments = session._model, image.ctypes.data, output.ctypes.data
        assert not other_thread_goes_on(lambda: holding(*arguments))
