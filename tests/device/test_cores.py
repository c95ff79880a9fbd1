"""Programs run on the big cores of the phones that there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeblur.device.cores import cores_text, others_mask, place, place_on
from edgedeblur.device.facts import Core, parse_core_list
from edgedeblur.errors import UserError


def cores(*clocks, capacities=None):
    capacities = capacities or [None] * len(clocks)
    return [Core(n, mhz, capacity, None) for n, (mhz, capacity) in enumerate(zip(clocks, capacities, strict=True))]


SNAPDRAGON_865 = cores(*[1804.8] * 4, *[2419.2] * 3, 2841.6)
SNAPDRAGON_730 = cores(*[1804.8] * 6, *[2208.0] * 2)
SNAPDRAGON_8_GEN_3 = cores(2265.6, 2265.6, 3148.8, 3148.8, 3148.8, 2956.8, 2956.8, 3302.4)
RASPBERRY_PI_5 = cores(*[2400.0] * 4)


@pytest.mark.parametrize(
    ("phone", "expected", "threads"),
    [
        (SNAPDRAGON_865, "4-7", 4),
        (SNAPDRAGON_730, "6-7", 2),
        (SNAPDRAGON_8_GEN_3, "2-4,7", 4),
        (RASPBERRY_PI_5, "0-3", 4),
        (cores(1000.0), "0", 1),
    ],
)
def test_as_many_threads_as_the_target_has_and_as_there_are_big_cores(phone, expected, threads):
    placement = place(phone, None, 4)
    assert (cores_text(placement.cores), placement.threads) == (expected, threads)


@pytest.mark.parametrize(("threads", "expected"), [(1, "7"), (2, "6-7"), (4, "4-7"), (6, "2-7"), (8, "0-7")])
def test_a_number_of_threads_that_is_given_takes_the_fastest_cores(threads, expected):
    placement = place(SNAPDRAGON_865, threads, 4)
    assert (cores_text(placement.cores), placement.threads) == (expected, threads)


def test_the_kernels_capacities_go_before_clocks():
    """A little core may be clocked as high as a big one and do half as much."""
    phone = cores(*[2000.0] * 4, capacities=[400, 400, 1024, 1024])
    assert cores_text(place(phone, None, 4).cores) == "2-3"


def test_where_nothing_is_known_of_the_cores_all_are_alike():
    assert place(cores(None, None, None, None), None, 2).threads == 2


def test_cores_can_be_named():
    assert place_on(SNAPDRAGON_865, "6-7", None, 4).threads == 2
    assert place_on(SNAPDRAGON_865, "0,7", 3, 4) == place_on(SNAPDRAGON_865, "7,0", 3, 4)


@pytest.mark.parametrize("wanted", ["8", "4-9", "big", "", "4-", "-1", "7-4"])
def test_cores_that_the_phone_does_not_have_are_bad_use(wanted):
    with pytest.raises(UserError, match="the phone has 0-7") as raised:
        place_on(SNAPDRAGON_865, wanted, None, 4)
    assert raised.value.exit_code == 2


def test_the_loop_that_watches_stays_off_the_cores_that_are_measured():
    assert others_mask(SNAPDRAGON_865, (4, 5, 6, 7)) == "f"
    assert others_mask(SNAPDRAGON_865, (0, 7)) == "7e"
    assert others_mask(RASPBERRY_PI_5, (0, 1, 2, 3)) is None


@given(st.sets(st.integers(0, 63), min_size=1))
def test_a_list_of_cores_is_read_back_as_it_was_written(numbers):
    assert parse_core_list(cores_text(sorted(numbers))) == sorted(numbers)
