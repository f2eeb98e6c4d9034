"""A dead process is told from a live one, and from a later one with the same pid."""

import os

import pytest

from grader import owner


def test_this_process_is_alive():
    """The owner text of a process names it, and holds as long as it lives."""
    assert str(os.getpid()) in owner.me().split(":")
    assert owner.me() == owner.me()
    assert owner.is_alive(owner.me()) is True


def test_a_killed_process_is_dead_even_before_it_is_waited_for(child):
    """A zombie does no work any more, so its judging is free."""
    process = child("import sys; from grader.owner import me; print(me(), flush=True); sys.stdin.read()")
    name = process.stdout.readline().strip()
    assert owner.is_alive(name) is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_alive(name) is False
    process.wait()
    assert owner.is_alive(name) is False


def test_a_reused_pid_does_not_fool():
    """The same pid with another start time is another process."""
    *world, start = owner.me().split(":")
    assert owner.is_alive(":".join([*world, str(int(start) + 1)])) is False


def test_a_restart_of_the_machine_ends_its_processes():
    """With our host's name and another boot id, the owner died with the machine."""
    host, _, *rest = owner.me().split(":")
    assert owner.is_alive(":".join([host, "another-boot", *rest])) is False


@pytest.mark.parametrize("place", [0, 2], ids=["host", "namespace"])
def test_nothing_is_said_of_other_worlds(place):
    """A pid on another machine or in another container cannot be looked up from here."""
    parts = owner.me().split(":")
    parts[place] = "elsewhere"
    parts[1] = "another-boot" if place == 0 else parts[1]
    assert owner.is_alive(":".join(parts)) is None


@pytest.mark.parametrize("text", ["", "worker-3", "a:b:c:d:e:f", "::::"])
def test_nothing_is_said_of_other_texts(text):
    """An owner that is no process of the embedded mode is judged by its lease alone."""
    assert owner.is_alive(text) is None


def test_nothing_is_known_without_proc(monkeypatch, tmp_path):
    """On a system without /proc the lease decides, and naming oneself still works."""
    monkeypatch.setattr(owner, "_PROC", tmp_path)
    assert owner.is_alive(owner.me()) is None
