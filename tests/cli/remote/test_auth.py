"""Logging in to a server from the command line, out again, and letting others in."""

import json
import re
import stat

import pytest

from tests.server.conftest import PASSWORD


@pytest.fixture
def somebody(stranger, world):
    """Return somebody with a password and no server configured, and their server's address."""
    world.identity.set_password(world.accounts[stranger.learner].id, PASSWORD, by=None)
    return stranger, stranger.environment.pop("GRADER_SERVER")


def credentials(person):
    """Return the file of logins."""
    return person.work.parent / "config" / "grader" / "credentials.json"


def test_a_password_logs_in_and_the_server_is_in_force(somebody):
    """The token is kept for its owner alone, shown nowhere, and revoked by logging out."""
    person, url = somebody
    assert "this machine judges" in person.run("auth", "status").stdout
    login = ["auth", "login", url, "--password", "--name", person.learner[5:]]
    done = person.run(*login, stdin=PASSWORD + "\n")
    assert done.stdout == f"logged in to {url} as {person.learner}, learner\n", done.stderr
    kept = credentials(person)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    token = json.loads(kept.read_text())["servers"][url]["token"]
    assert PASSWORD not in kept.read_text()
    status = json.loads(person.run("auth", "status", "--json").stdout)
    assert (status["schema"], status["server"], status["account"]) == ("grader/login/1", url, person.learner)
    assert status["scopes"] == ["read", "submit"]
    assert status["expires_at"]
    shown = person.run("auth", "status").stdout
    assert re.search(r"good for read, submit until \d{4}-", shown)
    assert token not in shown + str(status) + done.stderr
    assert "double" in person.run("list").stdout
    assert person.run("auth", "logout").stdout == f"logged out of {url}\n"
    assert token not in kept.read_text()
    refused = person.run("list", GRADER_SERVER=url, GRADER_TOKEN=token)
    assert "error[E6102]" in refused.stderr
    assert "double" not in person.run("list").stdout
    assert person.run("auth", "status", url).returncode == 4


def test_a_wrong_password_is_refused(somebody):
    """With exit code 4; nothing is kept."""
    person, url = somebody
    done = person.run("auth", "login", url, "--password", "--name", person.learner[5:], stdin="wrong\n")
    assert done.returncode == 4
    assert "error[E6103]" in done.stderr
    assert not credentials(person).exists()


def test_a_token_is_read_from_standard_input(somebody, world):
    """It is tried before it is kept."""
    person, url = somebody
    done = person.run("auth", "login", url, "--token-stdin", stdin=person.token + "\n")
    assert done.returncode == 0, done.stderr
    assert "double" in person.run("list").stdout
    assert person.run("auth", "login", url, "--token-stdin", stdin="grt_wrong\n").returncode == 4
    assert person.run("auth", "login", url, "--token-stdin").returncode == 2
    assert "double" in person.run("list").stdout


@pytest.mark.parametrize("deny", [False, True])
def test_a_code_is_approved_elsewhere(somebody, world, deny):
    """By somebody who is logged in, on another machine: `auth approve`, which asks first."""
    person, url = somebody
    process = person.start("auth", "login", url)
    (code,) = re.findall(r"grader auth approve (\S+)", "".join(process.stdout.readline() for _ in range(3)))
    ada = {"GRADER_SERVER": url, "GRADER_TOKEN": person.token}
    unasked = person.run("auth", "approve", code, **ada)
    assert unasked.returncode == 2
    assert re.search(r"'grader on .+' wants to log in to .+ as you, main/ada\d+, to read and submit", unasked.stderr)
    done = person.run("auth", "approve", code.lower(), "--deny" if deny else "--yes", **ada)
    assert done.stdout == f"{code} is {'denied' if deny else 'approved'}\n"
    printed, said = process.communicate(timeout=60)
    if deny:
        assert process.returncode == 4
        assert "error[E5216]" in said
    else:
        assert process.returncode == 0, said
        assert f"logged in to {url} as {person.learner}, learner" in printed
        assert "double" in person.run("list").stdout
    assert "error[E5204]" in person.run("auth", "approve", code, "--yes", **ada).stderr


def test_logins_that_others_can_read_are_refused(somebody, world):
    """And a damaged file is told by name."""
    person, url = somebody
    person.run("auth", "login", url, "--token-stdin", stdin=person.token + "\n")
    kept = credentials(person)
    kept.chmod(0o640)
    done = person.run("list")
    assert done.returncode == 2
    assert f"hint: chmod 600 {kept}" in done.stderr
    kept.chmod(0o600)
    kept.write_text("{")
    assert "error[E2124]" in person.run("list").stderr


def test_the_environment_goes_before_a_login(somebody, world):
    """For the server and for the token; a login says that it will not count."""
    person, url = somebody
    other = {"GRADER_TOKEN": world.tokens["main/instructor"]}
    done = person.run("auth", "login", url, "--token-stdin", stdin=person.token + "\n", **other)
    assert "unset GRADER_TOKEN" in done.stderr
    status = json.loads(person.run("auth", "status", "--json", **other).stdout)
    assert (status["account"], status["token_from"]) == ("main/instructor", "GRADER_TOKEN")
    assert "double" not in person.run("list", GRADER_SERVER="none").stdout
