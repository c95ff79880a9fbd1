"""The C runtime with probe kernels in place of TVM's: launches, workspace, errors and instances."""

import ctypes
import os
import threading

import numpy as np
import pytest
from artefacts import PROBE_MODES, PROBE_SIDE, build_probe, probe_plan

from edgedeblur.runtime.bindings import Options

IMAGE_BYTES = PROBE_SIDE * PROBE_SIDE * 3


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = build_probe(tmp_path_factory.mktemp("probe") / "build", probe_plan('odd "layer" \\ é ??/1'), "probe é")
    library = ctypes.CDLL(str(path))
    library.ed_create.restype = ctypes.c_void_p
    library.ed_run.argtypes = [ctypes.c_void_p] * 3
    library.ed_destroy.argtypes = [ctypes.c_void_p]
    library.ed_threads.argtypes = [ctypes.c_void_p]
    for name in ("ed_last_error", "ed_name", "ed_version", "ed_layer_name"):
        getattr(library, name).restype = ctypes.c_char_p
    library.ed_layer_macs.restype = ctypes.c_uint64
    for name in ("ed_arena_bytes", "ed_workspace_bytes", "ed_weights_bytes"):
        getattr(library, name).restype = ctypes.c_size_t
    return library


@pytest.fixture(params=[1, 2, 3, 8])
def model(library, request):
    model = library.ed_create(ctypes.byref(Options(request.param, 0)))
    assert library.ed_threads(model) == request.param
    yield model
    library.ed_destroy(model)


def run(library, model, mode: str) -> tuple[int, np.ndarray, str]:
    source = np.full(IMAGE_BYTES, PROBE_MODES.index(mode), np.uint8)
    out = np.full(IMAGE_BYTES, 77, np.uint8)
    status = library.ed_run(model, source.ctypes.data, out.ctypes.data)
    return status, out, library.ed_last_error().decode()


def test_a_launch_does_every_part_exactly_once(library, model):
    for _ in range(500):
        status, out, _ = run(library, model, "each_once")
        assert status == 0
        assert (out == 1).all()


def test_a_launch_inside_a_task_does_every_part_exactly_once(library, model):
    status, out, _ = run(library, model, "nested")
    assert status == 0
    assert (out == 1).all()


def test_two_tasks_run_at_the_same_time_on_two_threads(library):
    model = library.ed_create(ctypes.byref(Options(2, 0)))
    status, _, error = run(library, model, "together")
    library.ed_destroy(model)
    assert status == 0, error


def test_every_thread_has_a_workspace_of_its_own(library, model):
    for _ in range(20):
        status, _, error = run(library, model, "own_workspace")
        assert status == 0, error


def test_a_failing_task_fails_the_run_with_its_message_and_the_next_run_is_well(library, model):
    status, _, error = run(library, model, "task_fails")
    assert (status, error) == (-1, "ValueError: probe task failed")
    assert run(library, model, "each_once")[0] == 0


def test_more_workspace_than_planned_is_an_error_and_not_an_overflow(library, model):
    status, _, error = run(library, model, "too_much")
    assert status == -1
    assert error == "a kernel asked for 4097 bytes of workspace; 4096 of 4096 are free"


def test_workspace_freed_out_of_order_is_an_error(library, model):
    assert run(library, model, "out_of_order")[::2] == (-1, "a kernel freed workspace out of order")


def test_blocks_that_a_failed_task_left_open_are_free_again(library, model):
    for _ in range(3):
        assert run(library, model, "left_open")[::2] == (-1, "ValueError: probe left open")
    assert run(library, model, "own_workspace")[0] == 0


def test_an_instance_refuses_a_second_image_while_it_runs_one(library):
    model = library.ed_create(None)

    def run_slow():
        while run(library, model, "slow")[0] != 0:
            pass  # refused, because the other thread was first

    slow = threading.Thread(target=run_slow)
    slow.start()
    statuses = set()
    while slow.is_alive():
        status, _, error = run(library, model, "each_once")
        statuses.add((status, error if status else ""))
    slow.join()
    library.ed_destroy(model)
    assert (-1, "this instance is running an image in another thread") in statuses


def test_instances_run_in_different_threads_at_the_same_time(library):
    failures = []

    def work():
        model = library.ed_create(ctypes.byref(Options(2, 0)))
        for _ in range(200):
            status, out, error = run(library, model, "each_once")
            if status != 0 or not (out == 1).all():
                failures.append(error)
        library.ed_destroy(model)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("threads", [-1, 65])
def test_a_number_of_threads_out_of_range_is_refused(library, threads):
    assert library.ed_create(ctypes.byref(Options(threads, 0))) is None
    assert library.ed_last_error().decode() == f"{threads} threads; allowed are 1 to 64"


@pytest.mark.skipif(63 in os.sched_getaffinity(0), reason="this machine has a core 63")
def test_cores_that_the_machine_lacks_are_refused_and_others_leave_the_caller_alone(library):
    before = os.sched_getaffinity(0)
    assert library.ed_create(ctypes.byref(Options(2, 1 << 63))) is None
    assert b"cannot use cores 0x8000000000000000" in library.ed_last_error()
    model = library.ed_create(ctypes.byref(Options(2, 1 << min(before))))
    assert run(library, model, "each_once")[0] == 0
    library.ed_destroy(model)
    assert os.sched_getaffinity(0) == before


def test_overlapping_and_missing_images_are_refused(library):
    model = library.ed_create(None)
    image = np.zeros(2 * IMAGE_BYTES, np.uint8)
    address = image.ctypes.data
    assert library.ed_run(model, address, address + IMAGE_BYTES - 1) == -1
    assert library.ed_last_error() == b"input and output image overlap"
    assert library.ed_run(model, address, address + IMAGE_BYTES) == 0
    assert library.ed_run(model, None, address) == -1
    assert library.ed_run(None, address, address + IMAGE_BYTES) == -1
    library.ed_destroy(model)
    library.ed_destroy(None)


def test_the_library_tells_what_the_plan_says(library):
    plan = probe_plan()
    assert library.ed_name().decode() == "probe é"
    assert library.ed_version() == b"1.2.3"
    assert (library.ed_height(), library.ed_width()) == (plan.height, plan.width)
    assert library.ed_arena_bytes() == plan.arena_bytes
    assert library.ed_workspace_bytes() == plan.workspace_bytes
    assert library.ed_weights_bytes() == len(plan.constants)
    assert library.ed_layer_count() == 1
    assert library.ed_layer_name(0).decode() == 'odd "layer" \\ é ??/1'
    assert library.ed_layer_macs(0) == 7
    assert library.ed_layer_name(1) is None and library.ed_layer_name(-1) is None


def test_only_the_public_interface_is_visible(library):
    for name in (
        "ed_model_tables",
        "ed_pool_create",
        "__TVMBackendParallelLaunch",
        "TVMFFIErrorSetRaisedFromCStrParts",
    ):
        assert not hasattr(library, name)
