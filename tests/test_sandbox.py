"""The sandbox against processes that break every rule, and engine `local` against submissions that do."""

import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader import wire
from grader.engine import Ended, Pipes
from grader.exercise import Limits, Policy
from grader.local import LocalEngine
from grader.sandbox import Broken, Sandbox
from grader.verdict import Verdict

LIMITS = Limits(printed_mib=1, answer_mib=1)
LONG = 30.0
SHORT = 0.4
BIG = np.zeros(50 << 17)  # 50 MiB

PRELUDE = """
import json, os, signal, struct, sys, threading, time
def read(size):
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data
def header():
    return json.loads(read(struct.unpack("<I", read(4))[0]))
def ask():
    request = header()
    read(request["size"])
    return request
def send(data):
    while data:
        data = data[os.write(1, data):]
def frame(fields, payload=b""):
    text = json.dumps(fields).encode()
    return struct.pack("<I", len(text)) + text + payload
def ok(request, value={"t": "none"}, payload=b""):
    send(frame({"status": "ok", "nonce": request["nonce"], "value": value}, payload))
ok(ask())
"""


class Hostile(Pipes):
    """A process that speaks as its script says, in place of the harness."""

    def __init__(self, script, cause=""):
        """Start it; `cause` is what it is said to have died of."""
        self.popen = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PRELUDE + script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.pipes = [p for p in (self.popen.stdin, self.popen.stdout, self.popen.stderr) if p is not None]
        self.requests, self.answers, self.prints = (pipe.fileno() for pipe in self.pipes)
        self.cause = cause
        self.confinement: dict[str, str] = {}
        self.killed = 0

    def ended(self):
        """Tell whether it has ended by itself."""
        return os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def cpu_seconds(self):
        """Nobody asks for it here."""
        return float("nan")

    def waited_seconds(self):
        """Nor for this."""
        return 0.0

    def kill(self):
        """End it and close its pipes."""
        self.killed += 1
        by_itself = self.ended()
        self.popen.kill()
        code = self.popen.wait()
        for pipe in self.pipes:
            pipe.close()
        cause: Any = "killed" if not by_itself else self.cause or ("signal" if code < 0 else "exit")
        return Ended(cause, abs(code), 0.0, 0.0)


@pytest.fixture
def hostile():
    """Start processes with a script, and see that the sandbox has ended each of them."""
    started = []

    def start(script, **options):
        process = Hostile(script, **options)
        started.append(process)
        sandbox = Sandbox(process, "numpy", LIMITS)
        sandbox.ready()
        return sandbox

    yield start
    for process in started:
        assert process.killed == 1
        assert process.popen.returncode is not None


def call(sandbox, seconds=LONG, value=None):
    """Ask for anything."""
    return sandbox.call({"op": "echo"}, time.monotonic() + seconds, value=value)


def broken(sandbox, seconds=LONG, value=None):
    """Ask, and return how the sandbox broke; it must do so within the deadline."""
    started = time.monotonic()
    with pytest.raises(Broken) as caught:
        call(sandbox, seconds, value)
    assert time.monotonic() - started < seconds + 5.0
    assert not sandbox.alive
    return caught.value


@pytest.mark.parametrize(
    "script",
    [
        "send(b'hello, judge' * 9)",
        "ask(); send(os.urandom(4096) + bytes(4096))",
        "ask(); send(bytes(64))",
        "ask(); send(b'\\xff' * 64)",
        "ask(); send(frame({'status': 'ok'}))",
        "ask(); send(frame({'status': 'ok', 'nonce': '0' * 16, 'value': {'t': 'none'}}))",
        "r = ask(); ok(r, {'t': 'array', 'k': 'ndarray', 'dtype': 'float64', 'shape': [1 << 40, 1 << 40]})",
        "r = ask(); ok(r, {'t': 'array', 'k': 'ndarray', 'dtype': 'float64', 'shape': [0, 1 << 40, 1 << 40]})",
        "r = ask(); ok(r, {'t': 'array', 'k': 'ndarray', 'dtype': 'float64', 'shape': [1 << 18]})",
        "r = ask(); ok(r, {'t': 'float', 'v': 'much'})",
        "r = ask(); send(frame({'status': 'callback', 'nonce': r['nonce'], 'id': 1, 'value': {'t': 'list', 'v': []}}))",
        "ask(); os.close(1)",
    ],
)
def test_bytes_that_are_no_answer_are_a_protocol_violation(hostile, script):
    """Garbage, a wrong nonce, impossible sizes, an unasked callback, a closed channel: all end the sandbox at once."""
    sandbox = hostile(script + "\ntime.sleep(60)")
    assert broken(sandbox).verdict is Verdict.PROTOCOL_VIOLATION


def test_an_answer_before_the_question_is_a_protocol_violation(hostile):
    """What lies in the pipe before the judge asks was not asked for."""
    sandbox = hostile("ok({'nonce': 'guess'})\nprint('sent', file=sys.stderr, flush=True)\ntime.sleep(60)")
    os.set_blocking(sandbox._process.prints, True)
    assert os.read(sandbox._process.prints, 4) == b"sent"
    os.set_blocking(sandbox._process.prints, False)
    assert not sandbox.quiet()
    assert broken(hostile("ok({'nonce': 'guess'})\ntime.sleep(60)")).verdict is Verdict.PROTOCOL_VIOLATION
    sandbox.close()


def test_an_answer_to_half_a_question_is_a_protocol_violation(hostile):
    """Who answers with the right nonce before the arguments are in has not looked at them."""
    error = broken(hostile("ok(header())\ntime.sleep(60)"), value=BIG)
    assert error.verdict is Verdict.PROTOCOL_VIOLATION
    assert error.message == "it answered before it was asked"


def test_a_second_answer_is_noticed_at_the_next_question(hostile):
    """An answer sent twice counts once; the second is a protocol violation."""
    sandbox = hostile("r = ask(); ok(r); ok(r)\ntime.sleep(60)")
    assert call(sandbox) is None
    assert broken(sandbox).verdict is Verdict.PROTOCOL_VIOLATION


DRIBBLE = """r = ask()
for byte in frame({'status': 'ok', 'nonce': r['nonce'], 'value': {'t': 'none'}}):
    os.write(1, bytes([byte]))
    time.sleep(0.05)
"""


@pytest.mark.parametrize(
    "script",
    [
        "time.sleep(60)",
        "ask(); time.sleep(60)",
        "r = ask(); send(frame({'status': 'ok', 'nonce': r['nonce'], 'value': {'t': 'none'}})[:-1]); time.sleep(60)",
        "r = ask(); ok(r, {'t': 'array', 'k': 'ndarray', 'dtype': 'bool', 'shape': [9]}, b'8'); time.sleep(60)",
        DRIBBLE,
        "ask()\nwhile True: os.write(2, b'.'); time.sleep(0.01)",
        "ask(); os.kill(os.getpid(), signal.SIGSTOP)",
        "ask()\nwhile True: pass",
        "ask(); os.close(2); time.sleep(60)",
    ],
)
def test_silence_ends_at_the_deadline(hostile, script):
    """Not reading, not answering, half an answer, a byte now and then, a stopped process: the deadline is absolute."""
    started = time.monotonic()
    assert broken(hostile(script), SHORT).verdict is Verdict.TIME_LIMIT_EXCEEDED
    assert time.monotonic() - started < 10.0


def test_a_question_that_nobody_reads_does_not_hang_the_judge(hostile):
    """Writing 50 MiB into a pipe that is not read ends at the deadline, too."""
    assert broken(hostile("time.sleep(60)"), SHORT, BIG).verdict is Verdict.TIME_LIMIT_EXCEEDED


def test_a_closed_request_channel_is_a_protocol_violation(hostile):
    """A process that closes the pipe the judge writes to, and lives on, has left the protocol."""
    error = broken(hostile("os.close(0); time.sleep(60)"), value=BIG)
    assert error.verdict is Verdict.PROTOCOL_VIOLATION
    assert error.message == "it closed the channel to the judge"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("ask(); os._exit(0)", "exit status 0"),
        ("ask(); os._exit(3)", "exit status 3"),
        ("os._exit(4)", "exit status 4"),
        ("ask(); os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("ask(); os.abort()", "signal 6"),
        ("r = ask(); send(frame({'nonce': r['nonce']})[:-2]); os._exit(5)", "exit status 5"),
    ],
)
def test_a_process_that_ends_says_how(hostile, script, words):
    """An exit status and a signal are runtime errors and are named."""
    error = broken(hostile(script))
    assert error.verdict is Verdict.RUNTIME_ERROR
    assert words in error.message


def test_a_process_that_died_of_memory_says_so(hostile):
    """What the engine calls a death by memory is that verdict."""
    error = broken(hostile("ask(); os._exit(9)", cause="memory"))
    assert error.verdict is Verdict.MEMORY_LIMIT_EXCEEDED


@pytest.mark.parametrize("until", ["True", "not os.write(1, b'')"])
def test_a_flood_of_prints_ends_the_sandbox(hostile, until):
    """More printed than allowed ends it, whether or not an answer follows."""
    script = f"ask()\nwhile {until}: os.write(2, b'x' * 65536)"
    error = broken(hostile(script))
    assert error.verdict is Verdict.OUTPUT_LIMIT_EXCEEDED


def test_a_flood_of_prints_while_closing_is_no_error_of_ours(hostile):
    """Threads may go on printing after the answer; closing then must neither raise nor wait for them."""
    sandbox = hostile(
        "for _ in range(4): threading.Thread(target=lambda: [os.write(2, b'x' * 65536) for _ in range(10**9)]).start()"
    )
    assert sandbox.close().cause == "killed"


def test_prints_are_kept_up_to_their_tail(hostile):
    """What was printed can be read afterwards, as text, whatever bytes it was."""
    sandbox = hostile("r = ask(); os.write(2, b'first\\xff'); os.write(2, b'last'); ok(r); ask()")
    call(sandbox)
    sandbox.close()
    assert sandbox.printed == "first\ufffdlast"


def test_a_sandbox_that_waits_for_its_limits_may_print_until_it_ends():
    """What a library warns of as it is imported is taken; the end is noticed; then limits are of no use."""
    process = Hostile("os.write(2, b'a warning'); ask()")
    sandbox = Sandbox(process, "numpy", None)
    sandbox.warm()
    select.select([process.prints], [], [], LONG)
    assert sandbox.rests()
    assert sandbox.printed == "a warning"
    process.popen.kill()
    select.select([process.prints], [], [], LONG)
    assert not sandbox.rests()
    sandbox.assign(LIMITS, Policy())
    with pytest.raises(Broken) as caught:
        sandbox.ready()
    assert caught.value.verdict is Verdict.INTERNAL_ERROR
    sandbox.close()


def test_a_closed_sandbox_cannot_be_asked(hostile):
    """After its end it says so, and that is our fault."""
    sandbox = hostile("time.sleep(60)")
    assert sandbox.close() == sandbox.close()
    assert broken(sandbox).verdict is Verdict.INTERNAL_ERROR


def test_a_callback_that_calls_for_ever_ends_at_the_deadline(hostile):
    """Each answer to a callback counts against the same deadline."""
    sandbox = hostile(
        "while True:\n"
        "    r = ask()\n"
        "    send(frame({'status': 'callback', 'nonce': r['nonce'], 'id': 1, 'value': {'t': 'list', 'v': []}}))"
    )
    calls = []

    def answer(number, arguments, nonce):
        calls.append(arguments)
        return wire.encode({"op": "answer", "nonce": nonce}, value=1.0)

    with pytest.raises(Broken) as caught:
        sandbox.call({"op": "call"}, time.monotonic() + SHORT, answer)
    assert caught.value.verdict is Verdict.TIME_LIMIT_EXCEEDED
    assert len(calls) > 1


# --- engine `local`


@pytest.fixture
def local():
    """Start a real harness by engine `local`, and end it."""
    sandboxes = []

    def start(source, limits=LIMITS):
        sandbox = Sandbox(LocalEngine().start("numpy", limits), "numpy", limits)
        sandboxes.append(sandbox)
        loaded = sandbox.call({"op": "load", "interface": []}, time.monotonic() + LONG, source=source)
        assert loaded is None
        return sandbox

    yield start
    for sandbox in sandboxes:
        sandbox.close()


def run(sandbox, name, *args):
    """Call a function of the submission."""
    header = {"op": "call", "target": {"name": name}}
    return sandbox.call(header, time.monotonic() + LONG, args=list(args), kwargs={})


def test_the_sandbox_has_an_empty_environment_and_a_folder_of_its_own(local):
    """No variable of ours gets in but the number of threads; the folder is empty, new, and removed in the end."""
    sandbox = local("import os\ndef f():\n    return sorted(os.environ), os.getcwd(), os.listdir('.'), os.getsid(0)")
    names, folder, files, session = run(sandbox, "f")
    assert set(names) <= {"LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    assert files == []
    assert folder != str(Path.cwd())
    assert session != os.getsid(0)
    sandbox.close()
    assert not Path(folder).exists()


def test_many_arrays_cross_whole(local):
    """More arrays than the kernel takes at once, and one larger than any pipe, come back as they were, in order."""
    sandbox = local("def f(*args):\n    return list(args)", Limits(answer_mib=64))
    sent = [np.full(n % 5, n, np.float32) for n in range(700)]
    sent[350] = np.arange(1 << 20, dtype=np.float32)
    answer = run(sandbox, "f", *sent)
    assert len(answer) == len(sent)
    assert all(np.array_equal(got, want) for got, want in zip(answer, sent, strict=True))


def test_standard_input_is_empty_and_prints_arrive_without_flushing(local):
    """A student who reads gets nothing; what they print is there at once, on both descriptors."""
    source = "import os, sys\ndef f():\n    print('one')\n    os.write(1, b'two')\n    return sys.stdin.read()"
    sandbox = local(source)
    assert run(sandbox, "f") == ""
    sandbox.close()
    assert sandbox.printed == "one\ntwo"


def test_memory_beyond_the_limit_is_refused_not_taken(local):
    """An allocation beyond the limit is a MemoryError of the submission's, and the sandbox lives on."""
    sandbox = local("import numpy as np\ndef f(n):\n    return np.ones(n).nbytes", Limits(memory_mib=64))
    assert run(sandbox, "f", 1 << 20) == 8 << 20
    failed = run(sandbox, "f", 1 << 27)
    assert failed.kind == "memory"
    assert run(sandbox, "f", 1) == 8


def test_an_answer_that_is_too_large_is_refused_before_it_is_made(local):
    """A broadcast view of 80 GB, a million-element list and a long text do not leave the sandbox."""
    sandbox = local(
        "import numpy as np\n"
        "def f(kind):\n"
        "    return {'view': np.broadcast_to(0.0, 10**10), 'list': [0.0] * 10**6,"
        " 'text': ['\u00e9' * 60000] * 40}[kind]"
    )
    for kind in ("view", "list", "text"):
        assert run(sandbox, "f", kind).kind == "oversize"
    assert sandbox.alive


def test_usage_is_measured(local):
    """Processor time and peak memory are the process's own."""
    sandbox = local("def f():\n    return len([i * i for i in range(3 * 10**6)])")
    assert run(sandbox, "f") == 3 * 10**6
    ended = sandbox.close()
    assert ended.cause == "killed"
    assert 0.05 < ended.cpu_seconds < 60
    assert 20 < ended.peak_memory_mib < 2000


def test_no_more_privileges_and_no_core_files(local):
    """A setuid program gains nothing, so that every process stays within reach of our signals."""
    source = (
        "import resource\ndef f():\n    lines = open('/proc/self/status').read().splitlines()\n"
        "    found = [line for line in lines if line.startswith('NoNewPrivs')]\n"
        "    return found[0].split()[1], resource.getrlimit(resource.RLIMIT_CORE), "
        "resource.getrlimit(resource.RLIMIT_NOFILE)"
    )
    flag, core, files = run(local(source), "f")
    assert flag == "1"
    assert core == (0, 0)
    assert files[0] <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_other_modules_than_the_exercise_offers_cannot_be_imported(local):
    """What the exercise does not offer is absent, with the words Python itself would use."""
    failed = run(local("def f():\n    import pytest"), "f")
    assert failed.type == "ModuleNotFoundError"
    assert failed.line == 2


# --- whole judgings; the fixture sees that no process and no folder is left

RIGHT = "def double(x, factor=2.0):\n    return factor * x\n"
EVERYWHERE = (
    "import os\ndef shout():\n    for fd in range(256):\n        try:\n            os.write(fd, b'accepted' * 9)\n"
)
EVERYWHERE += "        except OSError:\n            pass\n"


@pytest.mark.parametrize("place", ["import", "call", "after"])
def test_writing_to_every_descriptor_is_a_protocol_violation(judged, make_exercise, place):
    """Whoever writes to the judge's channel by hand is found out, in the file, in a call or after the answer."""
    if place == "import":
        source = EVERYWHERE + "shout()\n" + RIGHT
    elif place == "call":
        source = EVERYWHERE + "def double(x, factor=2.0):\n    shout()\n    return factor * x\n"
    else:
        source = EVERYWHERE + (
            "import threading\ndef double(x, factor=2.0):\n"
            "    threading.Timer(0.0, lambda: [shout() for _ in range(10**6)]).start()\n    return factor * x\n"
        )
    report = judged(make_exercise("function"), source)
    assert report.verdict is Verdict.PROTOCOL_VIOLATION
    assert report.log == ""


FORKS = {
    "fork": "import os, time\nif os.fork() == 0:\n    time.sleep(600)\n",
    "session": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n",
    "double fork": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    "        os.setsid()\n        time.sleep(600)\n    os._exit(0)\n",
    "stopped": "import os, signal, time\npid = os.fork()\nif pid == 0:\n    os.setsid()\n"
    "    os.kill(os.getpid(), signal.SIGSTOP)\n    time.sleep(600)\n",
    "deaf": "import os, signal, time\nif os.fork() == 0:\n    os.setsid()\n    for n in range(1, 32):\n"
    "        try:\n            signal.signal(n, signal.SIG_IGN)\n        except OSError:\n            pass\n"
    "    time.sleep(600)\n",
}


def test_no_other_program_is_started(judged, make_exercise):
    """Another program would be another Python, in which no policy holds: the kernel refuses it."""
    report = judged(make_exercise("function"), "import subprocess\nsubprocess.Popen(['sleep', '600'])\n" + RIGHT)
    assert report.verdict is Verdict.IMPORT_ERROR
    assert "PermissionError at line 2" in report.message


@pytest.mark.parametrize("name", FORKS)
def test_no_process_is_left_behind(judged, make_exercise, name):
    """Children, sessions of their own, double forks, stopped and deaf ones: the judging ends, and so do they."""
    report = judged(make_exercise("function"), FORKS[name] + RIGHT)
    assert report.verdict is Verdict.ACCEPTED
    assert report.log == ""


def test_threads_that_go_on_change_nothing(judged, make_exercise):
    """A thread that never ends dies with the sandbox."""
    source = "import threading, time\n\ndef spin():\n    while True:\n        time.sleep(0.001)\n\n"
    source += "for _ in range(3):\n    threading.Thread(target=spin).start()\n" + RIGHT
    assert judged(make_exercise("function"), source).verdict is Verdict.ACCEPTED


def test_folders_nested_by_the_thousand_are_removed(judged, make_exercise):
    """Deeper than Python's own removal reaches; the fixture sees that nothing is left."""
    source = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n" + RIGHT
    report = judged(make_exercise("function"), source)
    assert report.verdict is Verdict.ACCEPTED
    assert report.log == ""


def test_a_name_that_cannot_be_guessed_is_asked_each_time(hostile):
    """Each request carries a nonce of its own."""
    sandbox = hostile("while True:\n    r = ask()\n    ok(r, {'t': 'str', 'v': r['nonce']})")
    seen = {call(sandbox) for _ in range(5)}
    assert len(seen) == 5
    assert all(len(nonce) == len(secrets.token_hex(8)) for nonce in seen)
    sandbox.close()


def test_signals_do_not_reach_the_judge(judged, make_exercise):
    """A submission that signals its own group ends itself only."""
    source = f"import os\ndef double(x, factor=2.0):\n    os.killpg(0, {int(signal.SIGKILL)})\n"
    report = judged(make_exercise("function"), source)
    assert report.verdict is Verdict.RUNTIME_ERROR
    assert "signal 9" in report.tests[0].message


LARGE_PAGES = """
import os, sys, zlib
import numpy as np
from grader.harness import use_large_pages
rows = [np.random.default_rng(i).bytes(1 << 20) for i in range(24)]
before = [zlib.crc32(row) for row in rows]
use_large_pages()
child = os.fork()
same = [zlib.crc32(row) for row in rows] == before
if not child:
    os._exit(same)
sys.exit(not (same and os.waitstatus_to_exitcode(os.wait()[1]) == 1))
"""


def test_large_pages_change_nothing_but_the_pages():
    """What a process has in memory is the same afterwards, and in its forks; where the kernel knows none, too."""
    assert subprocess.run([sys.executable, "-c", LARGE_PAGES], check=False).returncode == 0
