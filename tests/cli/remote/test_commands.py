"""The commands against a server: what it shows, what it keeps, and every way in which it can fail to answer."""

import http.server
import json
import os
import pty
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import grader
from grader.verdict import Verdict
from tests.cli.remote.conftest import NO_BROKER, SOURCE, Person
from tests.cli.remote.proxy import Proxy
from tests.server import live


def told(done, code, exit_code):
    """Check that a command ended in an error with this code, in three lines and nothing on stdout; return stderr."""
    assert f"error[{code}]: " in done.stderr, done.stderr
    assert "\nhint: " in done.stderr
    assert done.stdout == ""
    assert done.returncode == exit_code
    return done.stderr


@pytest.fixture
def here(ada, exercise, tmp_path):
    """Return a function: run a command where this machine has the exercise and judges."""
    return lambda *arguments: ada.run(
        *arguments, GRADER_SERVER="none", GRADER_EXERCISES=str(exercise.parent), GRADER_ENGINE="local"
    )


def test_a_workshop_from_the_first_command_to_the_verdict(environment, work, exercise, tmp_path):
    """An account, a server that judges by itself, a login by password, the starter, a wrong and a right file."""
    place = {"GRADER_HOME": str(tmp_path / "server")}
    with live.start("--embedded", **place, GRADER_ENGINE="bubblewrap", GRADER_CONCURRENCY="1") as running:
        ada = Person("main/ada", "", environment, work)
        password = ada.run("user", "add", "ada", **place).stdout
        url = f"http://127.0.0.1:{running.port}"
        assert ada.run("auth", "login", url, "--password", "--name", "ada", stdin=password).returncode == 0
        assert ada.run("start", "double").stdout == "double.py\n"
        wrong = ada.run("submit", "double.py")
        assert wrong.returncode == 1, wrong.stderr
        assert "hint: grader check double.py" in wrong.stderr
        (work / "double.py").write_bytes(SOURCE)
        right = ada.run("submit", "double.py", "--json")
        assert right.returncode == 0, right.stderr
        assert (json.loads(right.stdout)["verdict"], json.loads(right.stdout)["attempt"]) == ("accepted", 2)
        assert json.loads(right.stdout)["environment"]["engine"] == "bubblewrap"


def test_exercises_come_from_the_server(ada, here, exercise):
    """Its list, statements and starters are what this machine would print if it had them."""
    assert "double" not in ada.run("list", GRADER_SERVER="none").stdout
    for command in (["list", "--json"], ["show", "double"]):
        assert ada.run(*command).stdout == here(*command).stdout
    shown, own = (json.loads(run("show", "double", "--json").stdout) for run in (ada.run, here))
    assert shown == own
    assert ada.run("start", "double", "-o", "new.py").stdout == "new.py\n"
    assert (ada.work / "new.py").read_text() == (exercise / "starter.py").read_text()


def test_check_runs_the_servers_examples_here(ada, here):
    """The same report and summary as without a server; nothing is sent."""
    (ada.work / "double.py").write_bytes(SOURCE + b"\nprint('hello')\n")
    theirs, ours = (run("check", "double.py", "--engine", "local", "--json") for run in (ada.run, here))
    assert theirs.returncode == ours.returncode == 0, theirs.stderr
    assert "public examples: 1 of 1; hidden tests were not run" in theirs.stderr
    reports = [json.loads(each.stdout) for each in (theirs, ours)]
    for report in reports:
        del report["seed"], report["usage"]
    assert reports[0] == reports[1]
    assert reports[0]["printed"] == "hello\n"


def test_hidden_tests_and_references_never_leave_the_server(ada, proxy, exercise, judge):
    """Of all that came, nothing is a line of theirs."""
    for command in (["list"], ["show", "double"], ["start", "double", "--force"], ["results"], ["history", "double"]):
        ada.run(*command)
    (ada.work / "double.py").write_bytes(SOURCE)
    assert ada.run("submit", "double.py").returncode == 0
    public = "".join((exercise / name).read_text() for name in ("statement.md", "starter.py", "public_tests.py"))
    hidden = [
        exercise / "hidden_tests.py",
        *(exercise / "wrong").iterdir(),
        exercise.parents[1] / "reference/double.py",
    ]
    secret = {line.strip() for path in hidden for line in path.read_text().splitlines() if len(line.strip()) > 12}
    came = proxy.received.decode(errors="replace")
    assert "Return `factor * x`" in came
    assert {line for line in secret if line not in public and line in came} == {"def double(x, factor=2.0):"} - {
        line for line in secret if line in public
    }


def test_history_and_board(ada, world, judge):
    """As where this machine judges; names on the board are chosen, and can be taken back."""
    judge.verdicts += [Verdict.WRONG_ANSWER, Verdict.ACCEPTED]
    for _ in range(2):
        ada.run("submit", "double.py")
    listed = json.loads(ada.run("history", "double", "--json").stdout)
    assert listed["schema"] == "grader/history/1"
    assert [each["verdict"] for each in listed["submissions"]] == ["accepted", "wrong_answer"]
    assert [each["submission"] for each in listed["submissions"]] == [each.submission for each in ada.submissions]
    assert "wrong_answer" in ada.run("history", "double").stdout
    board = json.loads(ada.run("board", "double", "--json").stdout)
    assert board["schema"] == "grader/board/1"
    assert ada.learner[5:] in [each["name"] for each in board["places"]]
    assert "Countess" in ada.run("board", "double", "--as", "Countess").stdout
    assert "Countess" not in ada.run("board", "double", "--hide").stdout


def test_a_board_has_times_where_they_are_limited(ada, world):
    """As multiples of the reference's, and no column where nobody was timed."""
    ada.run("board", "double", "--as", "Countess")
    world.sent_and_judged(ada.learner)
    assert "time / reference" not in ada.run("board", "double").stdout
    world.sent_and_judged(ada.learner, ratios=(1.24,))
    (place,) = [line for line in ada.run("board", "double").stdout.splitlines() if "Countess" in line]
    assert place.split()[3] == "1.2"
    assert "time / reference" in ada.run("board", "double").stdout
    board = json.loads(ada.run("board", "double", "--json").stdout)
    assert [each["speed_ratio"] for each in board["places"] if each["name"] == "Countess"] == [1.2]


def test_cancel_withdraws_what_waits(ada, world):
    """By either id, and again; whoever waits for it is told; what is not there, or judged, is refused."""
    waiting = ada.start("submit", "double.py")
    deadline = time.monotonic() + 60
    while not ada.submissions:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (sent,) = ada.submissions
    done = ada.run("cancel", sent.judging)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"submission {sent.submission} is cancelled; no attempt was used\n"
    said = waiting.communicate(timeout=60)[0]
    assert waiting.returncode == 1
    assert "cancelled" in said
    assert ada.run("cancel", sent.submission).returncode == 0
    assert "cancelled" in ada.run("history", "double").stdout
    told(ada.run("cancel", "s_unknown"), "E5101", 5)
    told(ada.run("cancel", "j_unknown"), "E5101", 5)
    judged = world.sent_and_judged(ada.learner)
    told(ada.run("cancel", judged.submission), "E2126", 2)


def test_staff_have_submissions_judged_again(ada, world, judge):
    """`rejudge` and `overrule` follow the new judging; a learner may do neither."""
    judge.verdicts += [Verdict.POLICY_VIOLATION, Verdict.POLICY_VIOLATION, Verdict.ACCEPTED]
    ada.run("submit", "double.py")
    (stored,) = ada.submissions
    told(ada.run("overrule", stored.submission, "--reason", "fine"), "E6104", 5)
    staff = {"GRADER_TOKEN": world.tokens["main/instructor"]}
    assert ada.run("rejudge", stored.submission, **staff).returncode == 1
    done = ada.run("overrule", stored.submission, "--reason", "fine", "--json", **staff)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["overruled"]["reason"] == "fine"


def test_a_terminal_gets_a_table_with_times(ada, world, judge):
    """Phases, when they were reached and how long each took, then the report."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        ada.command("submit", "double.py"), cwd=ada.work, stdout=side, stderr=side, env=ada.environment
    )
    os.close(side)
    shown = b""
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:
            break
    os.close(main)
    assert process.wait(20) == 0
    text = shown.decode(errors="replace")
    for words in ("received", "taken by a worker", "sandbox ready", "report stored", " s\x1b", "accepted"):
        assert words in text, words


def test_what_the_server_refuses_is_passed_on(ada, world):
    """Codes, sentences and hints are the server's; the exit code is that of the kind of error."""
    told(ada.run("submit", "softmax", "double.py"), "E6105", 5)
    for _ in range(5):
        world.send(ada.learner)
    told(ada.run("submit", "double.py"), "E6107", 6)
    assert ada.parcels == []
    assert "`double`" in told(ada.run("show", "duble"), "E5101", 5)
    told(ada.run("results", "s_0000000000000000"), "E5101", 5)
    told(ada.run("results", "../account"), "E5201", 5)
    told(ada.run("history", "nothing"), "E5101", 5)


def test_a_short_limit_is_waited_for(ada, server, judge):
    """A server that says when there will be room again is asked again then."""
    broken = {"exercise": "double", "filename": "double.ipynb", "source": "no notebook"}  # counts, and is not stored
    met = threading.Event()

    def use_up():
        while not met.is_set():
            server.request("POST", "/v1/submissions", ada.token, broken)

    thread = threading.Thread(target=use_up)
    thread.start()
    process = ada.start("submit", "double.py")
    waited = any("too many submissions" in line for line in process.stderr)
    met.set()
    thread.join()
    _, said = process.communicate(timeout=60)
    assert waited
    assert process.returncode == 0, said


def test_without_a_login_nothing_is_asked(stranger, proxy):
    """Exit code 4 and the command to run; not even a connection."""
    for command in (["list"], ["submit", "double.py"]):
        assert f"grader auth login http://127.0.0.1:{proxy.port}" in told(stranger.run(*command), "E6101", 4)
    assert proxy.connections == 0


def test_a_token_that_is_not_accepted(ada, world):
    """Wrong, expired or revoked: exit code 4, and where the token comes from."""
    for token in ("grt_wrong", world.token(ada.learner, {"read"}, seconds=0.0)):
        assert "GRADER_TOKEN" in told(ada.run("submit", "double.py", GRADER_TOKEN=token), "E6102", 4)
    told(ada.run("list", GRADER_TOKEN="two words"), "E2123", 2)  # noqa: S106  no token
    assert ada.parcels == []


def test_a_token_is_not_given_to_a_server_that_a_folder_names(ada, proxy):
    """A cloned repository could otherwise collect tokens; named by the person, the server gets it."""
    server = ada.environment.pop("GRADER_SERVER")
    (ada.work / ".grader.toml").write_text(f'server = "{server}"\n')
    assert f"GRADER_SERVER={server}" in told(ada.run("list"), "E2123", 2)
    assert proxy.connections == 0
    assert ada.run("list", "--server", server).returncode == 0


@pytest.mark.parametrize(
    "address", ["ftp://host", "https://user@host", "http://host:99999", "https://host/?a=b", "a b"]
)
def test_an_address_that_is_none(ada, address):
    """Told before anything is done."""
    told(ada.run("list", "--server", address), "E2122", 2)


def test_what_is_no_grader_server(ada):
    """A web server of another kind, and a port of which nobody listens."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    done = ada.run("list", GRADER_SERVER=f"http://127.0.0.1:{web.server_port}")
    web.shutdown()
    web.server_close()
    assert "it answered 404" in told(done, "E5212", 2)
    told(ada.run("list", GRADER_SERVER=f"http://127.0.0.1:{web.server_port}"), "E5210", 3)
    told(ada.run("list", GRADER_SERVER="http://nowhere.invalid"), "E5210", 3)


@pytest.mark.parametrize(("version", "word"), [("9.4.1", "newer"), ("0.0.1", "older")])
def test_a_server_of_another_version(ada, where, world, version, word):
    """Refused at once where the major version differs; otherwise where an address is not there."""
    code = (
        "import sys, grader\n"
        f"grader.__version__ = {version!r}\n"
        "from grader.server import access, submissions\n"
        "access.RULES.pop('GET /v1/report')\n"
        "submissions.routes.routes[:] = [r for r in submissions.routes.routes if r.path != '/v1/report']\n"
        "from grader.cli import main\n"
        "sys.argv[1:] = ['serve', '--port', '0']\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ
        | {
            "PYTHONPATH": str(Path(grader.__file__).parents[1]),
            "GRADER_DATABASE_URL": where,
            "GRADER_BROKER_URL": NO_BROKER,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        other = f"http://127.0.0.1:{live.Live(process).port}"
        done = ada.run("results", GRADER_SERVER=other)
        assert f"the server is {word} than the command line: grader {version}" in told(done, "E5213", 2)
        assert ada.run("list", GRADER_SERVER=other).returncode == (2 if version.startswith("9") else 0)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a key and a certificate for 127.0.0.1 that nobody has signed."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=grader", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *made], check=True, capture_output=True
    )
    return folder


def test_a_secure_connection(ada, server, certificate):
    """Without trust nothing is sent; with it all works; a server without TLS, and one with, are told apart."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    secure = Proxy(server.port, tls=context)
    address = f"https://127.0.0.1:{secure.port}"
    assert "self-signed" in told(ada.run("list", GRADER_SERVER=address), "E5211", 3)
    assert secure.sent == b""
    trust = {"GRADER_SERVER": address, "SSL_CERT_FILE": str(certificate / "certificate.pem")}
    assert ada.run("list", **trust).returncode == 0
    assert "http://" in told(ada.run("list", GRADER_SERVER=f"https://127.0.0.1:{server.port}"), "E5211", 3)
    told(ada.run("list", GRADER_SERVER=address.replace("https", "http")), "E5210", 3)
    told(ada.run("list", **trust | {"SSL_CERT_FILE": "/nowhere.pem"}), "E5211", 2)
    secure.close()


def test_a_thin_installation_is_enough(ada, judge):
    """No numbers and no database are imported to submit, nor for what follows."""
    for command in (["submit", "double.py"], ["history", "double"], ["results"]):
        done = ada.run(*command, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0, done.stderr
        imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
        assert "httpx2" in imported
        assert not imported & {"numpy", "sqlalchemy", "alembic", "pytest", "nbformat", "fastapi", "pydantic"}


def test_a_named_engine_is_refused(ada):
    """The server has its own."""
    told(ada.run("submit", "double.py", "--engine", "local"), "E2113", 2)


def test_without_a_server_there_is_nothing_to_watch(ada):
    """`none` judges here, whatever else is set."""
    for command in (["watch", "s_0"], ["board", "double"]):
        told(ada.run(*command, "--server", "none"), "E2125", 2)


def test_http_is_imported_only_for_a_server(environment):
    """Neither help nor what this machine does by itself pays for it."""
    for command in (["--help"], ["list", "--json"], ["auth", "status"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "grader", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("httpx2" in done.stderr) == (command[0] == "auth")
