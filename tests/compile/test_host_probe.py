"""The rate of dot products of cores that no table has is measured where it decides between kernels."""

import dataclasses

import pytest

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.linking import host_probe
from edgedeblur.compile.linking.host_probe import HostProbe, probe_host, with_host_rate
from edgedeblur.errors import UserError


def host(**changes):
    return dataclasses.replace(load_target("x86-64-v4-vnni"), detected=True, **changes)


def probed(rate: float) -> HostProbe:
    return HostProbe(3.0, rate, 32, 10, 10, 15, 16, 50)


@pytest.mark.parametrize(("found", "rate"), [(0.97, 1), (1.3, 1), (1.7, 2), (2.0, 2), (0.4, 1)])
def test_what_is_measured_becomes_one_or_two_a_cycle(monkeypatch, found, rate):
    said = []
    monkeypatch.setattr(host_probe, "probe_host", lambda: probed(found))
    assert with_host_rate(host(), said.append) == host(dots_per_cycle=rate)
    assert said == [
        f"measured on these cores, which no table has: {found:.2f} dot products in a cycle, taken as {rate}"
    ]


@pytest.mark.parametrize(
    "target",
    [
        host(dots_per_cycle=2.0),  # the file or the table of models knows
        host(cpu="znver4"),  # its name does
        dataclasses.replace(host(), detected=False),  # another machine's
        dataclasses.replace(load_target("x86-64-v3"), detected=True),  # one method for every rate
    ],
)
def test_nothing_is_measured_where_the_rate_is_known_or_decides_nothing(monkeypatch, target):
    monkeypatch.setattr(host_probe, "probe_host", lambda: pytest.fail("probed"))
    assert with_host_rate(target, pytest.fail) is target


def test_a_probe_that_does_not_run_leaves_one_a_cycle_and_is_said(monkeypatch):
    def refused():
        raise UserError("the probe of this machine did not run: killed")

    said = []
    monkeypatch.setattr(host_probe, "probe_host", refused)
    assert with_host_rate(host(), said.append) == host() and "killed; its cores count as" in said[0]


def test_this_machine_is_probed():
    found = probe_host()
    assert 0.1 < found.dots_per_cycle < 4.5 and 0.5 < found.ghz < 10
