"""A worker's GPUs: cleaned between judgings, and kept from everybody when one is at fault; with injected faults."""

import ctypes
import multiprocessing
import sys
import time
from pathlib import Path

import pytest

from grader import exercise as exercises
from grader import gpu as gpus
from grader import local
from grader.errors import NoGpu, OurFault
from grader.owner import me
from grader.pool import Pool
from grader.server.catalogue import Catalogue
from grader.store import open_store
from grader.store.gpus import Gpus
from grader.verdict import Verdict
from tests.conftest import TORCH, write
from tests.gpus import A100, H100, Machine
from worker import gpu, scrub
from worker import service as services
from worker.judging import Judges

ECC = "ecc.errors.uncorrected.volatile.total"
LONG = 900.0


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a machine with one GPU."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("GRADER_DOCKER_GPUS", raising=False)
    found = Machine(tmp_path, sys.executable)
    found.add(H100)
    return found


@pytest.fixture
def store(tmp_path):
    """Return a fresh store."""
    found = open_store(tmp_path / "home" / "grader.sqlite3")
    yield found
    found.close()


class Scrubber:
    """Cleans nothing, notes what it was asked to clean, and says what is amiss."""

    def __init__(self):
        """Find nothing amiss."""
        self.cleaned, self.amiss = [], ""

    def __call__(self, found):
        """Note a GPU."""
        self.cleaned.append(found.id)
        return self.amiss


@pytest.fixture
def scrubber():
    """Return what cleans."""
    return Scrubber()


@pytest.fixture
def lane(machine, store, scrubber):
    """Return a lane on that machine."""
    found = gpus.found()
    return gpu.Lane(store, found, gpu.begin(store, found), LONG, scrubber)


@pytest.fixture
def judging(store):
    """Return a judging that waits for a GPU."""
    sent = {"exercise": "fused-softmax", "version": "1", "title": "", "filename": "a.py", "source": b"", "seed": ""}
    return store.add_submission(learner="ada", device="cuda", queue="gpu", **sent).judging


@pytest.fixture
def quarantine(store):
    """Return a function: why the GPU is kept from everybody, if it is."""
    return lambda: Gpus(store).all()[0].quarantine


def test_one_that_judged_is_cleaned_before_it_is_had_again(lane, quarantine, judging, scrubber):
    """Once for each judging, at the release; not where nothing has run on it."""
    held = lane.take()
    assert lane.take() is None
    held.release()
    assert scrubber.cleaned == []
    held = lane.take()
    held.assign(judging)
    assert held.examine(thorough=False) == ""
    assert scrubber.cleaned == []
    held.release()
    assert scrubber.cleaned == [H100]
    assert quarantine() == ""
    assert lane.take() is not None


def test_a_report_that_may_be_the_gpu_s_fault_waits_until_it_was_tried(lane, judging, scrubber):
    """It is cleaned before the report is stored, and not once more at the release."""
    held = lane.take()
    held.assign(judging)
    assert held.examine(thorough=True) == ""
    held.release()
    assert scrubber.cleaned == [H100]


@pytest.mark.parametrize("thorough", [False, True])
def test_errors_of_memory_keep_it_back(lane, machine, quarantine, thorough, judging):
    """The driver counts one during a judging: the report does not count, and nobody has the GPU from then on."""
    held = lane.take()
    held.assign(judging)
    machine.change(H100, **{ECC: "1"})
    assert held.examine(thorough=thorough) == f"{ECC} is 1" == quarantine()
    held.release()
    assert lane.take() is None


def test_one_that_is_lost_is_kept_back(lane, machine, quarantine, judging):
    """The driver does not answer any more."""
    held = lane.take()
    held.assign(judging)
    machine.fails = "Unable to determine the device handle for GPU0: GPU is lost."
    machine.tell()
    assert "GPU is lost" in held.examine(thorough=False)
    machine.fails = ""
    machine.tell()
    held.release()
    assert "GPU is lost" in quarantine()


def test_one_that_does_not_compute_is_kept_back(lane, quarantine, judging, scrubber):
    """What the cleaning program says is the reason; it is the same when it is found at the release."""
    held = lane.take()
    held.assign(judging)
    scrubber.amiss = "cuCtxSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (700)"
    held.release()
    assert quarantine() == scrubber.amiss
    assert lane.take() is None


def test_settings_that_a_judging_changed_keep_it_back(lane, machine, quarantine, judging):
    """Another compute mode than the worker began with."""
    held = lane.take()
    held.assign(judging)
    machine.change(H100, compute_mode="Exclusive_Process")
    held.release()
    assert quarantine() == "compute_mode is Exclusive_Process, and was Default"


def test_a_process_that_stays_keeps_it_back(lane, machine, quarantine, monkeypatch, judging):
    """A killed process that does not let go in time, as one whose kernel never ends."""
    monkeypatch.setattr(gpu, "_GONE_SECONDS", 0.1)
    held = lane.take()
    held.assign(judging)
    machine.boards[H100]["processes"] = [4711]
    machine.tell()
    held.release()
    assert quarantine() == "processes are left on it: 4711"


def test_one_whose_last_worker_was_lost_is_cleaned_first(lane, store, quarantine, scrubber):
    """Nobody has cleaned it: it is tried before anything is judged, and kept back where it fails."""
    dead = me().rpartition(":")[0] + ":1"
    Gpus(store).lease([H100], dead, LONG)
    held = lane.take()
    assert scrubber.cleaned == [H100]
    held.release()
    Gpus(store).lease([H100], dead, LONG)
    scrubber.amiss = "memory does not keep what was written to it"
    assert lane.take() is None
    assert quarantine() == scrubber.amiss


def test_a_fault_at_the_start_is_seen(machine, store, quarantine):
    """A worker that begins on a machine with a faulty GPU offers it to nobody."""
    machine.change(H100, **{"remapped_rows.failure": "Yes"})
    found = gpus.found()
    lane = gpu.Lane(store, found, gpu.begin(store, found), LONG)
    assert quarantine() == "remapped_rows.failure is Yes"
    assert lane.take() is None


def test_a_worker_that_could_judge_nothing_on_a_gpu_does_not_start(machine):
    """Its engine has no CUDA in its sandboxes; or the machine shows no GPU."""
    with pytest.raises(OurFault) as caught:
        services._found("docker")
    assert caught.value.code == "E4134"
    assert [each.id for each in services._found("bubblewrap")] == [H100]
    machine.boards.clear()
    machine.tell()
    with pytest.raises(NoGpu):
        services._found("bubblewrap")


def test_a_machine_without_cuda_s_library_cannot_clean():
    """The program itself, in a process of its own, says what is missing."""
    assert "libcuda.so.1" in gpu.scrub(gpus.Gpu("GPU-1", "GPU-1", "none", "none", 1))


# --- a worker's process, over a pretended GPU


TOML = TORCH["exercise.toml"].replace('kind = "torch"', 'kind = "torch"\ndevices = ["cuda"]')
RIGHT = TORCH["reference"].encode()
RAISES = b"def double(x, factor=2.0):\n    raise ValueError\n"


@pytest.fixture
def service(machine, store, tmp_path, monkeypatch):
    """Return a function: submit a file, and the judging; the exercise is judged on a GPU, which is pretended."""
    monkeypatch.setenv("GRADER_EXERCISES", str(write(tmp_path, TORCH | {"exercise.toml": TOML}).parent))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(local, "HARNESS", Path(__file__).parent.parent / "pretended_gpu.py")

    def send(source):
        exercise = exercises.load("double")
        queued = store.add_submission(
            learner="ada", exercise="double", version=exercise.version, title="Twice", filename="double.py",
            source=source, seed="00" * 16, device=exercise.device, queue="gpu",
        )  # fmt: skip
        return queued.judging

    return send


@pytest.fixture
def take(store, tmp_path):
    """Return a function: let a worker's process take what is first; `amiss` by a GPU's id is what cleaning finds."""

    def work(amiss, answer):
        found = gpus.found()
        lane = gpu.Lane(store, found, gpu.begin(store, found), LONG, lambda each: amiss.get(each.id, ""))
        pool = Pool("local", isolated=False, isolation="container")
        judges = Judges(store, Catalogue(), pool, secret=b"", lease_seconds=LONG, lane=lane)
        answer.send(judges.take("gpu"))

    def run(**amiss):
        store.close()
        ours, theirs = multiprocessing.Pipe()
        named = {{"h100": H100, "a100": A100}[name]: said for name, said in amiss.items()}
        process = multiprocessing.get_context("fork").Process(target=work, args=(named, theirs))
        process.start()
        process.join()
        assert process.exitcode == 0
        return ours.recv()

    return run


def test_a_judging_has_a_gpu_and_lets_it_go(service, take, store):
    """Accepted; the report names the GPU, which is free again."""
    judging = service(RIGHT)
    assert take()
    report = store.report(judging, "ada")
    assert report.verdict is Verdict.ACCEPTED, report.log
    assert report.environment.device.startswith("NVIDIA H100")
    assert [(each.judging, each.quarantine) for each in Gpus(store).all()] == [(None, "")]
    leased = Gpus(store).lease([H100], "x", LONG)
    assert leased is not None
    assert not leased.abandoned


def test_a_fault_after_a_judging_costs_nothing_but_time(service, take, store, machine):
    """What looks like the file's failure waits until the GPU was tried; at fault, another GPU decides."""
    judging = service(RAISES)
    machine.add(A100, "NVIDIA A100-SXM4-80GB")
    assert take(h100="a kernel gives wrong results")
    assert store.progress(judging).status == "running"  # until the sweep
    assert store.sweep().requeued == [judging]
    faulty = {each.id: each.quarantine for each in Gpus(store).all() if each.quarantine}
    assert faulty == {H100: "a kernel gives wrong results"}
    assert take(h100="a kernel gives wrong results")
    report = store.report(judging, "ada")
    assert (report.verdict, report.attempt) == (Verdict.RUNTIME_ERROR, 1)
    assert report.environment.device.startswith("NVIDIA A100")


def test_a_gpu_that_fails_before_the_file_is_there_is_put_aside(service, take, store, machine, tmp_path, monkeypatch):
    """No context can be made: the judging waits as if nothing had been, for another GPU."""
    failing = tmp_path / "failing.py"
    failing.write_text("import sys\nsys.exit(3)\n")
    working = local.HARNESS
    monkeypatch.setattr(local, "HARNESS", failing)
    judging = service(RIGHT)
    assert not take(h100="cuInit: CUDA_ERROR_NO_DEVICE (100)")
    assert store.progress(judging).status == "queued"
    assert [each.quarantine for each in Gpus(store).all()] == ["cuInit: CUDA_ERROR_NO_DEVICE (100)"]
    monkeypatch.setattr(local, "HARNESS", working)
    began = time.monotonic()
    assert not take()  # there is no other: it goes on waiting
    assert time.monotonic() - began >= 1.0
    machine.add(A100, "NVIDIA A100-SXM4-80GB")
    assert take()
    assert store.report(judging, "ada").verdict is Verdict.ACCEPTED


def test_a_sandbox_that_fails_on_a_good_gpu_is_no_fault_of_the_gpu(service, take, store, tmp_path, monkeypatch):
    """It was tried, and works: the judging is put back, and the GPU stays."""
    failing = tmp_path / "failing.py"
    failing.write_text("import sys\nsys.exit(3)\n")
    monkeypatch.setattr(local, "HARNESS", failing)
    judging = service(RIGHT)
    assert not take()
    assert store.progress(judging).status == "queued"
    assert [each.quarantine for each in Gpus(store).all()] == [""]


# --- the cleaning program, over a driver whose memory is ours


ACTIONS = {
    "cuGetErrorName": "name_error",
    "cuMemGetInfo_v2": "count",
    "cuMemAlloc_v2": "take",
    "cuMemFree_v2": "give_back",
    "cuMemsetD8_v2": "fill",
    "cuMemcpyDtoH_v2": "copy_out",
    "cuLaunchKernel": "launch",
}


class Memory:
    """The functions of CUDA's library that the program calls, over bytes of this process."""

    def __init__(self, size):
        """Have so many bytes, all of them left behind by somebody."""
        self.free, self.parts, self.calls = size, {}, []
        self.forgets = self.miscomputes = False
        self.fails = ""

    def __getattr__(self, name):
        """Return a function that notes the call, and does it where it must do something."""

        def call(*arguments):
            self.calls.append(name)
            if name == self.fails:
                return 700
            action = ACTIONS.get(name)
            return getattr(self, action)(*arguments) or 0 if action else 0

        return call

    def name_error(self, code, text):
        """Name the two errors there are."""
        names = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 700: b"CUDA_ERROR_ILLEGAL_ADDRESS"}
        text._obj.value = names[code]

    def count(self, free, total):
        """Tell how much there is."""
        free._obj.value = total._obj.value = self.free

    def take(self, address, size):
        """Take a part."""
        if size.value > self.free:
            return 2
        self.free -= size.value
        part = ctypes.create_string_buffer(b"secret" * 2, size.value)
        self.parts[ctypes.addressof(part)] = part
        address._obj.value = ctypes.addressof(part)
        return 0

    def give_back(self, address):
        """Give a part back."""
        self.free += len(self.parts[address.value])

    def fill(self, address, value, size):
        """Overwrite a part."""
        ctypes.memset(address.value, value.value, size.value - (1 if self.forgets else 0))

    def copy_out(self, host, address, size):
        """Copy out."""
        ctypes.memmove(host, address.value, size.value)

    def launch(self, *arguments):
        """Do what the kernel does."""
        out = ctypes.cast(arguments[9][0], ctypes.POINTER(ctypes.c_uint64)).contents.value
        numbers = (ctypes.c_uint32 * (1024 * 256)).from_address(out)
        for number in range(len(numbers)):
            numbers[number] = number * 2654435761 % 2**32 + (number == 4711 and self.miscomputes)


@pytest.fixture
def memory(monkeypatch):
    """Return a device with 9 MiB, cleaned by parts of 4 and 1."""
    monkeypatch.setattr(scrub, "_PARTS", (4 << 20, 1 << 20))
    return Memory(9 << 20)


def test_all_that_is_free_is_overwritten(memory):
    """In large parts and small ones, to the last byte; and given back, with the context."""
    done = scrub.clean(scrub.Driver(memory))
    assert done == {"total_mib": 9, "overwritten_mib": 9}
    assert memory.free == 9 << 20
    _, *parts = memory.parts.values()  # the first was the kernel's
    left = [part.raw for part in parts]
    assert [len(part) >> 20 for part in left] == [4, 4, 1]
    assert not any(any(part) for part in left)
    assert memory.calls.index("cuCtxResetPersistingL2Cache") < memory.calls.index("cuMemsetD8_v2")
    assert memory.calls[-1] == "cuDevicePrimaryCtxReset_v2"


def test_memory_that_forgets_is_found(memory):
    """A byte that does not take what is written."""
    memory.forgets = True
    with pytest.raises(scrub.Broken, match="does not keep"):
        scrub.clean(scrub.Driver(memory))


def test_a_kernel_that_miscomputes_is_found(memory):
    """One wrong number of a quarter of a million."""
    memory.miscomputes = True
    with pytest.raises(scrub.Broken, match="wrong results"):
        scrub.clean(scrub.Driver(memory))


@pytest.mark.parametrize("name", ["cuInit", "cuDevicePrimaryCtxRetain", "cuLaunchKernel", "cuCtxSynchronize"])
def test_an_error_of_the_driver_is_named(memory, name):
    """With its name and number."""
    memory.fails = name
    with pytest.raises(scrub.Broken, match=rf"{name}: CUDA_ERROR_ILLEGAL_ADDRESS \(700\)"):
        scrub.clean(scrub.Driver(memory))
