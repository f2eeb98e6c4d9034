"""What the driver's program tells of a machine's GPUs is understood; one at a time has each; nothing is hidden."""

import multiprocessing
import sys

import pytest

from grader import gpu
from grader.errors import NoGpu, OurFault
from tests.gpus import A100, H100, SLICES, Machine

ECC = "ecc.errors.uncorrected.volatile.total"
HOT = "clocks_event_reasons.hw_thermal_slowdown"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a machine without a GPU, whose locks lie in a folder of the test's own."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("GRADER_DOCKER_GPUS", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Machine(tmp_path, sys.executable)


def test_a_machine_without_a_driver_has_none(monkeypatch, tmp_path):
    """No program on the path: no GPU, and who needs one is told so, with the exit code of that."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.found() == []
    with pytest.raises(NoGpu, match="no GPU to judge on") as caught:
        gpu.hold()
    assert (caught.value.code, caught.value.exit_code) == ("E4130", 9)


def test_whole_gpus_and_slices(machine):
    """A board is offered whole; one that is cut into slices is offered slice by slice, and not itself."""
    machine.add(H100)
    machine.add(A100, "NVIDIA A100-SXM4-80GB", SLICES)
    whole, *parts = gpu.found()
    assert whole == gpu.Gpu(H100, H100, "NVIDIA H100 80GB HBM3", "580.65.06", 81559)
    assert [(part.id, part.board, part.memory_mib) for part in parts] == [(each, A100, 10240) for each in SLICES]


@pytest.mark.parametrize(
    ("allowed", "wanted"),
    [("", [H100, *SLICES]), ("all", [H100, *SLICES]), (H100, [H100]), (A100, [*SLICES]), (SLICES[1], [SLICES[1]])],
)
def test_an_operator_may_name_which(machine, monkeypatch, allowed, wanted):
    """GRADER_DOCKER_GPUS names boards and slices by id; nothing else is offered."""
    machine.add(H100)
    machine.add(A100, slices=SLICES)
    monkeypatch.setenv("GRADER_DOCKER_GPUS", allowed)
    assert [each.id for each in gpu.found()] == wanted


def test_a_driver_that_fails_is_a_fault(machine):
    """What it says is the cause; there are no GPUs then."""
    machine.add(H100)
    machine.fails = "Unable to determine the device handle for GPU0: 0000:01:00.0: GPU is lost."
    machine.tell()
    assert gpu.found() == []
    with pytest.raises(OurFault) as caught:
        gpu.state(H100)
    assert (caught.value.code, caught.value.cause) == ("E4132", machine.fails)


def test_a_good_one_has_no_faults(machine):
    """Nothing is amiss, nothing slows it, nobody uses it, and it is as it was."""
    machine.add(H100)
    state = gpu.state(H100)
    assert (state.faults(), state.throttled, state.processes, state.changes(state)) == ([], [], [], [])


def test_faults_and_changes_are_named(machine):
    """Errors of its memory are a fault; another compute mode or a lower limit of power is a change."""
    machine.add(H100)
    before = gpu.state(H100)
    machine.change(H100, **{ECC: "3", "compute_mode": "Prohibited", "power.limit": "300.00"})
    after = gpu.state(H100)
    assert after.faults() == [f"{ECC} is 3"]
    assert after.changes(before) == [
        "compute_mode is Prohibited, and was Default",
        "power.limit is 300.00, and was 700.00",
    ]


def test_what_a_driver_does_not_know_is_left_out(machine):
    """An older driver has other names for some, and none for others: neither is a fault."""
    machine.add(H100)
    told = machine.boards[H100]["state"]
    for name in [name for name in told if name.startswith("clocks_event_reasons.")]:
        told[name.replace("clocks_event_reasons", "clocks_throttle_reasons")] = told.pop(name)
    del told["remapped_rows.pending"]
    told["clocks_throttle_reasons.hw_slowdown"] = "Active"
    machine.tell()
    state = gpu.state(H100)
    assert (state.faults(), state.throttled, state.health["remapped_rows.pending"]) == ([], ["hw_slowdown"], "n/a")


def test_nothing_counts_on_one_that_is_throttled_or_shared(machine):
    """Heat before or after, or somebody else's process, makes what was timed worthless."""
    machine.add(H100)
    good = gpu.state(H100)
    machine.boards[H100]["processes"] = [11, 12]
    machine.tell()
    shared = gpu.state(H100)
    machine.change(H100, **{HOT: "Active"})
    hot = gpu.state(H100)
    assert gpu.unfit(good, shared, 2) == ""
    assert "1 of them were ours" in gpu.unfit(good, shared, 1)
    assert gpu.unfit(good, hot, 2) == gpu.unfit(hot, good, 2) == "hw_thermal_slowdown: it is too hot"


def _hold(pipe):
    pipe.send(gpu.hold().id)
    pipe.recv()


def test_each_is_held_by_one_process_at_a_time(machine):
    """Two processes get the two there are, a third gets none, and has one again when a holder has ended."""
    machine.add(H100)
    machine.add(A100)
    context = multiprocessing.get_context("fork")
    holders = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_hold, args=(theirs,))
        process.start()
        holders.append((process, ours, ours.recv()))
    assert {held for _, _, held in holders} == {H100, A100}
    with pytest.raises(NoGpu) as caught:
        gpu.hold()
    assert caught.value.code == "E4131"
    process, ours, held = holders[0]
    ours.send("end")
    process.join()
    ours, theirs = context.Pipe()
    again = context.Process(target=_hold, args=(theirs,))
    again.start()
    assert ours.recv() == held
    for each, pipe in ((again, ours), (holders[1][0], holders[1][1])):
        pipe.send("end")
        each.join()
