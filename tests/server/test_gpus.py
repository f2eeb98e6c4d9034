"""Submissions for a GPU: where they go, what is said where none is offered, what operators see."""

import pytest

from grader import records
from grader.store.gpus import Gpus
from tests.server.conftest import problem

SENT = {"exercise": "attention", "filename": "attention.py", "source": "def attention(): ...\n"}
ADA = "main/ada"
H100 = records.Gpu(id="GPU-1", model="NVIDIA H100", driver="580.65.06", memory_mib=81559)


@pytest.fixture
def ada(as_):
    """Return ada's headers."""
    return as_(ADA)


@pytest.fixture
def gpus(world):
    """Return the GPUs of the server, none yet."""
    return Gpus(world.store)


@pytest.fixture(autouse=True)
def change(client, monkeypatch):
    """Return a function that changes settings; at first the server is one whose workers judge."""
    service = client.app.state.service

    def change(**values):
        monkeypatch.setattr(service, "settings", service.settings.model_copy(update=values))

    change(embedded=False)
    return change


def send(client, headers, **changes):
    """Send a submission as JSON."""
    return client.post("/v1/submissions", headers=headers, json=SENT | changes)


def test_a_submission_goes_to_the_workers_of_its_device(client, ada, world, bell, gpus):
    """By default to those of the first; what was asked for is kept with the submission, by JSON and by form."""
    gpus.offer("one", [H100])
    form = {"data": {"exercise": "attention", "device": "cuda"}, "files": {"file": ("attention.py", b"x = 1\n")}}
    answers = [
        send(client, ada),
        send(client, ada, device="cuda"),
        client.post("/v1/submissions", headers=ada, **form),
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert bell.queues == ["cpu", "gpu", "gpu"]
    filed = [world.store.submission(answer.json()["submission"]) for answer in answers]
    assert [each.device for each in filed] == ["cpu", "cuda", "cuda"]
    assert {answer.json()["note"] for answer in answers} == {""}


def test_a_device_that_an_exercise_does_not_have_is_refused(client, ada, world):
    """And so is a field that is none, and an exercise whose kernels no worker could compile."""
    problem(send(client, ada, exercise="double", device="cuda"), 422, "E2140")
    problem(send(client, ada, device="tpu"), 422, "E2140")
    problem(send(client, ada, exercise="fused-softmax", filename="a.py"), 403, "E6131")
    form = {"data": {"exercise": "attention", "speed": "high"}, "files": {"file": ("attention.py", b"x = 1\n")}}
    problem(client.post("/v1/submissions", headers=ada, **form), 400, "E6110")
    assert world.store.waiting() == {}


def test_another_device_is_another_request(client, ada):
    """A key that stood for one is refused for the other."""
    headers = ada | {"Idempotency-Key": "k"}
    assert send(client, headers, device="cuda").status_code == 202
    assert send(client, headers, device="cuda").json()["replayed"]
    problem(send(client, headers), 422, "E2117")


def test_where_no_gpu_is_offered_it_waits_and_is_told_so(client, ada, world, gpus):
    """None was ever there; or the only one is in quarantine. A submission for the CPU is told nothing."""
    gpus.offer("one", [H100])
    gpus.quarantine("GPU-1", "hot")
    answer = send(client, ada, device="cuda")
    assert answer.status_code == 202
    assert "no worker offers a GPU now: it waits" in answer.json()["note"]
    assert send(client, ada).json()["note"] == ""
    assert world.store.waiting() == {"cpu": 1, "gpu": 1}


@pytest.mark.parametrize("setting", [{"without_gpu": "refuse"}, {"embedded": True}], ids=lambda each: next(iter(each)))
def test_or_it_is_refused_where_the_server_says_so(client, ada, world, gpus, change, setting):
    """GRADER_WITHOUT_GPU=refuse, or a server without workers: nothing is stored, until a worker offers one."""
    change(**setting)
    problem(send(client, ada, device="cuda"), 503, "E6130")
    assert world.store.waiting() == {}
    assert send(client, ada).status_code == 202
    gpus.offer("one", [H100])
    assert send(client, ada, device="cuda").status_code == 202


def test_a_rejudging_and_a_regrade_go_where_the_submission_was_for(client, as_, world, bell, gpus):
    """Not to the exercise's default."""
    staff = as_("main/instructor")
    first = world.send(ADA, exercise="attention", device="cuda", queue="gpu")
    second = world.send(ADA, exercise="attention", device="cpu")
    for queued in (first, second):
        world.judge(queued)
    assert client.post(f"/v1/submissions/{first.submission}/judgings", headers=staff).status_code == 202
    assert bell.queues[-1] == "gpu"
    claim = world.store.claim_next("gpu", "a worker", 60.0)
    assert (claim.submission, claim.device) == (first.submission, "cuda")
    world.store.give_up(claim, "")
    begun = world.store.begin_regrade("attention", "v2", title="Attention", by="grace", queue="cpu")
    world.store.feed(begun.regrade, 10)
    assert world.store.waiting() == {"cpu": 1, "gpu": 1}


def test_an_exercise_tells_its_devices(client, ada):
    """In the list and by itself."""
    listed = client.get("/v1/exercises", headers=ada).json()["exercises"]
    found = {each["name"]: each["devices"] for each in listed}
    assert (found["attention"], found["fused-softmax"], found["double"]) == (["cpu", "cuda"], ["cuda"], ["cpu"])
