"""Every hostile probe, in a sandbox, where it must be held back, and with that protection removed, where the same probe
must get through: else it would show nothing. The probes themselves are data, in `hostile/`."""

import os

import pytest
from arena import EVERYWHERE, OUTSIDE, Arena
from hostile import PROBES
from hostile.probe import GOT_THROUGH, HELD_BACK, Caged, Probe

from lambent.worker.sandbox import seccomp

every_probe = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name.replace(" ", "_"))

in_every_sandbox = pytest.mark.parametrize("arena", EVERYWHERE, indirect=True)
outside_of_sandboxes = pytest.mark.parametrize("arena", OUTSIDE, indirect=True)


@every_probe
@in_every_sandbox
def test_a_sandbox_holds_it_back(arena: Arena, probe: Probe) -> None:
    if probe.unless_told and arena.tells(probe.unless_told):
        pytest.skip(arena.tells(probe.unless_told))
    if probe.where_told and not arena.tells(probe.where_told):
        pytest.skip("another protection does it better here")
    ended = arena.attempt(probe.script, probe.arguments, probe.limits)
    assert GOT_THROUGH not in ended.output
    if probe.killed_by is None or ended.signal is None:
        assert ended.output.startswith(HELD_BACK), ended
    else:
        assert ended.signal == probe.killed_by, ended


@every_probe
@outside_of_sandboxes
def test_control_it_gets_through_without_that_protection(arena: Arena, probe: Probe) -> None:
    ended = arena.control(probe.control, probe.script, probe.arguments)
    if ended.output.startswith(f"{HELD_BACK} ENOSYS"):
        pytest.skip("no control: this kernel does not have the call")
    assert ended.output.startswith(GOT_THROUGH), ended


@pytest.mark.skipif(os.uname().machine not in seccomp.ARCHITECTURES, reason="no filter is written for this machine")
@pytest.mark.parametrize(
    "probe",
    [probe for probe in PROBES if isinstance(probe.control, Caged)],
    ids=lambda probe: probe.name.replace(" ", "_"),
)
@outside_of_sandboxes
def test_the_whole_cage_holds_back_what_a_cage_without_that_protection_lets_through(arena: Arena, probe: Probe) -> None:
    ended = arena.caged((), probe.script, probe.arguments)
    assert ended.signal == probe.killed_by if ended.signal else ended.output.startswith(HELD_BACK), ended
