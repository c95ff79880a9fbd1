"""Recordings of angular rates: what a file may be, and windows cut from it."""

import numpy as np
import pytest

from edgedeblur.data.blur.shake_log import LONGEST, SAMPLES, read_shake_log, read_shake_logs
from edgedeblur.errors import UserError

HEADER = "t_s,wx_rad_s,wy_rad_s,wz_rad_s"


def write(path, times, rates=None, header=HEADER):
    rates = np.zeros((len(times), 3)) if rates is None else rates
    rows = [",".join(repr(float(value)) for value in (time, *rate)) for time, rate in zip(times, rates, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def ramp(times):
    """Rates that tell their time: t, 2 t, -t."""
    return np.stack([times, 2 * times, -times], axis=1)


def test_windows_are_pieces_of_the_recording(tmp_path):
    times = np.arange(0, 3, 0.005)
    write(tmp_path / "b.csv", times, ramp(times))
    write(tmp_path / "a.csv", times[:200] + 5, ramp(times[:200]) + 10)
    logs = read_shake_logs(tmp_path)
    assert logs.names == ("a.csv", "b.csv") and logs.seconds == pytest.approx(0.995 + 2.995)
    seconds = np.full(400, 0.05)
    windows = logs.draw(np.random.default_rng(0), seconds)
    first = windows.start - np.where(windows.recording == 0, 5, 0)
    at = first[:, None] + np.linspace(0, 0.05, SAMPLES)
    expected = np.stack([at, 2 * at, -at], axis=-1) + np.where(windows.recording == 0, 10, 0)[:, None, None]
    assert windows.rates == pytest.approx(expected, abs=1e-9)
    assert np.mean(windows.recording == 0) == pytest.approx(0.87 / (0.87 + 2.87), abs=0.07)


def test_no_window_reaches_over_a_gap(tmp_path):
    times = np.concatenate([np.arange(0, 1, 0.005), np.arange(1.5, 2.5, 0.005), np.arange(3, 3.1, 0.005)])
    path = write(tmp_path / "a.csv", times, ramp(times))
    assert [segment.times[0] for segment in read_shake_log(path)] == [0, 1.5]  # the last is too short for a window
    windows = read_shake_logs(path).draw(np.random.default_rng(0), np.full(300, LONGEST))
    assert windows.rates[..., 0] == pytest.approx(windows.start[:, None] + np.linspace(0, LONGEST, SAMPLES))
    assert not ((windows.start > 1 - LONGEST) & (windows.start < 1.5)).any() and windows.start.max() <= 2.5 - LONGEST


def test_a_lost_sample_is_bridged_and_values_that_are_no_numbers_are_lost_samples(tmp_path):
    times = np.arange(0, 1, 0.005)
    rates = ramp(times)
    rates[50, 1] = np.nan
    path = write(tmp_path / "a.csv", times, rates)
    (segment,) = read_shake_log(path)
    assert len(segment.times) == 199 and np.isfinite(segment.rates).all()
    rates[60:80] = np.nan
    assert len(read_shake_log(write(path, times, rates))) == 2


def test_columns_are_found_by_name_and_others_left_out(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{2 * t},x,{t},{3 * t},{t}" for t in np.arange(0, 1, 0.01)]
    path.write_text("\ufeffwy_rad_s, note,t_s,wz_rad_s,wx_rad_s\r\n" + "\r\n".join(rows))
    (segment,) = read_shake_log(path)
    assert segment.rates == pytest.approx(segment.times[:, None] * [1, 2, 3])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(0, 1, 0.005)[::-1], "times must rise"),
        (np.repeat(np.arange(0, 1, 0.005), 2), "0 s follows 0 s; times must rise"),
        (np.arange(0, 10, 0.02), "50 samples a second"),
        (np.arange(0, 1000, 5.0), "t_s is in seconds"),
        (np.arange(0, 0.1, 0.005), "no 0.125 s without a gap"),
        (np.array([0.0]), "has 1 samples"),
    ],
)
def test_times_that_make_no_recording_are_messages(tmp_path, times, message):
    with pytest.raises(UserError, match=message):
        read_shake_log(write(tmp_path / "a.csv", times))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns"),
        ("t,x,y,z\n0,0,0,0\n", "has the columns t, x, y, z, not t_s"),
        (HEADER + ",t_s\n", "not t_s"),
        (HEADER + "\n0,0,0,0\n0.01,0,zero,0\n", "line 3: could not convert"),
        (HEADER + "\n0,0,0\n", "line 2: 3 values, not 4"),
        (HEADER + "\n0,0,inf,0\n", "line 2: a value is infinite"),
        (HEADER + "\n" + "nan,0,0,0\n" * 3, "has 0 samples"),
    ],
)
def test_files_that_are_no_recordings_are_messages(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_shake_logs(tmp_path)


def test_degrees_a_second_are_noticed(tmp_path):
    times = np.arange(0, 1, 0.005)
    with pytest.raises(UserError, match="rates are in rad/s") as raised:
        read_shake_log(write(tmp_path / "a.csv", times, 60 * ramp(times)))
    assert "57.29" in raised.value.fix


def test_no_folder_an_empty_one_and_a_binary_file_are_messages(tmp_path):
    with pytest.raises(UserError, match="no .*missing"):
        read_shake_logs(tmp_path / "missing")
    with pytest.raises(UserError, match="no .csv file"):
        read_shake_logs(tmp_path)
    (tmp_path / "a.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(UserError, match="cannot be read as text"):
        read_shake_logs(tmp_path)
