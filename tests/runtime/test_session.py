"""The library in this process gives the integer interpreter's bytes, whatever the threads."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from artefacts import compiled, compiled_gated, copy_of, expected, gated_network, noise
from networks import random_network, single_layer_spec

from edgedeblur.artefact import cpu
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.runtime.session import Session


@pytest.mark.parametrize("threads", [None, 1, 2, 3, 7])
def test_the_output_is_the_interpreters_and_the_same_every_time(threads):
    with Session(compiled("host").path, threads) as session:
        assert (session.height, session.width) == (64, 96)
        assert session.threads == threads or threads is None
        for seed in (0, 1, 0, 0):
            np.testing.assert_array_equal(session.run(noise(seed)), expected(seed))


def test_sessions_of_one_artefact_run_in_two_threads_at_the_same_time():
    wrong = []

    def work(seed: int) -> None:
        with Session(compiled("host"), threads=2) as session:
            wrong.extend(seed for _ in range(50) if not np.array_equal(session.run(noise(seed)), expected(seed)))

    expected(0), expected(1)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def worker_count() -> int:
    """Threads of this process that bear the workers' name."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("edgedeblur")


def test_threads_start_with_the_session_and_end_with_it_and_none_comes_with_a_run():
    with Session(compiled("host"), threads=5) as session:
        for _ in range(500):
            if worker_count() == 4:
                break
            time.sleep(0.01)
        for _ in range(20):
            session.run(noise())
        assert worker_count() == 4
    assert worker_count() == 0


def test_two_networks_in_one_process_do_not_meet():
    with Session(compiled("host")) as first, Session(compiled_gated()) as second:
        np.testing.assert_array_equal(first.run(noise()), expected())
        np.testing.assert_array_equal(second.run(noise()), interpreter.run(gated_network(), noise()))
        np.testing.assert_array_equal(first.run(noise()), expected())


def test_images_at_any_address_and_views_are_taken():
    with Session(compiled("host")) as session:
        turned = np.ascontiguousarray(noise()[:, ::-1])[:, ::-1]
        np.testing.assert_array_equal(session.run(turned), expected())
        size = noise().size
        source, out = np.zeros(size + 64, np.uint8), np.zeros(size + 64, np.uint8)
        for shift in (1, 3, 31):
            source[shift : shift + size] = noise().ravel()
            status = session._library.ed_run(session._model, source.ctypes.data + shift, out.ctypes.data + shift)
            assert status == 0
            np.testing.assert_array_equal(out[shift : shift + size], expected().ravel())
            assert not out[:shift].any() and not out[shift + size :].any()
            out[:] = 0


def test_a_moved_artefact_runs(tmp_path):
    moved = copy_of(compiled("host"), tmp_path).rename(tmp_path / "with space")
    with Session(moved) as session:
        np.testing.assert_array_equal(session.run(noise()), expected())


@pytest.mark.parametrize(
    "image", [noise()[:32], noise().astype(np.float32), noise()[..., 0], np.zeros((96, 64, 3), np.uint8)]
)
def test_an_image_of_another_size_or_type_is_refused(image):
    with Session(compiled("host")) as session, pytest.raises(UserError, match=r"takes uint8 \[64, 96, 3\]"):
        session.run(image)


def test_an_artefact_for_another_architecture_is_refused():
    with pytest.raises(UserError, match="is for aarch64, this machine is"):
        Session(compiled("android"))


def test_an_android_library_is_not_loaded_even_on_arm(monkeypatch):
    monkeypatch.setattr(cpu, "architecture", lambda: "aarch64")
    with pytest.raises(UserError, match="has no library for this system"):
        Session(compiled("android"))


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_a_number_of_threads_out_of_range_is_refused(threads):
    with pytest.raises(UserError, match=f"{threads} threads"):
        Session(compiled("host"), threads)


def test_a_closed_session_says_so_and_closes_twice():
    session = Session(compiled("host"))
    session.close()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(noise())


@pytest.mark.skipif(cpu.runs_here("vnni") or cpu.architecture() != "x86_64", reason="needs x86-64 without AVX-512 VNNI")
def test_a_processor_without_the_instructions_gets_a_message_and_no_signal(tmp_path):
    info = compile_network(
        random_network(single_layer_spec()), load_target("x86-64-v4-vnni"), 16, 16, tmp_path / "vnni"
    )
    with pytest.raises(UserError, match="this processor has no AVX-512 VNNI"):
        Session(info)
