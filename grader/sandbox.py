"""The sandbox as the judge sees it: ask, get an answer within the deadline, close.

An engine (`grader/engine.py`) starts a process that runs `grader/harness.py` and hands over three descriptors.
Everything else is here and the same for every engine: one absolute deadline for writing the request and reading the
answer, prints drained and counted, silence and noise both noticed.
"""

import contextlib
import fcntl
import itertools
import os
import secrets
import select
import time
from collections import deque
from typing import Any

from grader import wire
from grader.engine import MODULES, Ended, Kind, Process
from grader.exercise import Limits, Policy
from grader.local import waited_seconds
from grader.verdict import Verdict

_CHUNK = 1 << 16
_PIPE_BYTES = 1 << 18
_MOST_BUFFERS = 256  # the kernel takes 1024 at once
_BOOT_SECONDS = 60.0
_GRACE_SECONDS = 0.5
_NO_POLICY = Policy()


class Broken(Exception):  # noqa: N818 - the sandbox's state, not an error of ours
    """The sandbox cannot be used any more, through the submission's doing; `message` is for the student."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        """Carry the verdict that follows from it."""
        super().__init__(message)
        self.verdict = verdict
        self.message = message


class Sandbox:
    """One process, one submission, one request at a time."""

    def __init__(self, process: Process, kind: Kind, limits: Limits | None, policy: Policy = _NO_POLICY) -> None:
        """Take over a started process and greet it; it loads its libraries while the judge does other things.

        Without `limits` it loads no more than these: what holds for the submission is told by `assign`, later.
        """
        self._process = process
        self._kind = kind
        self._limits, self._policy = limits or Limits(), policy
        self._ended: Ended | None = None
        self._prints: deque[bytes] = deque(maxlen=64)
        self._printed = 0
        self.versions: dict[str, str] = {}
        self.took = 0.0
        """Seconds of the latest exchange, from before its first byte to after its last, less `_waited`."""
        self._started = self._greeted = self._settled = False
        for descriptor in (self._process.requests, self._process.answers, self._process.prints):
            os.set_blocking(descriptor, False)
        for descriptor in (self._process.requests, self._process.answers):
            with contextlib.suppress(OSError):  # no pipe, or this user's share of memory for pipes is taken
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        if limits is None:
            self._ask({"op": "warm", "torch": kind == "torch"})
        else:
            self._greet()

    def assign(self, limits: Limits, policy: Policy) -> None:
        """Say what holds for the submission, of a sandbox that was started without."""
        self._limits, self._policy = limits, policy

    def warm(self) -> None:
        """Wait until the libraries of a sandbox without limits are imported; failing here is our fault."""
        if not (self._greeted or self._settled):
            self._first_answer()

    def rests(self) -> bool:
        """Take what was printed while nobody asked; False at its end, which is the sandbox's."""
        try:
            return self._drain()
        except Broken:
            return False

    def ready(self) -> None:
        """Wait until the libraries are imported and the limits are set; failing here is our fault."""
        if self._started:
            return
        if not self._greeted:
            self.warm()
            self._greet()
        value = self._first_answer()
        self.versions = {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
        self._started = True

    def _greet(self) -> None:
        self._greeted = True
        hello = {
            "torch": self._kind == "torch",
            "modules": MODULES[self._kind],
            "memory_bytes": self._limits.memory_mib << 20,
            "processes": self._limits.processes,
            "max_answer_bytes": self._limits.answer_mib << 20,
            "names": self._policy.names,
            "operators": self._policy.operators,
        }
        self._ask({"op": "hello", **hello})

    def _ask(self, request: dict[str, Any]) -> None:
        self._nonce = secrets.token_hex(8)
        with contextlib.suppress(ConnectionError):  # it is gone already, as waiting for its answer will find
            for buffer in wire.encode({**request, "nonce": self._nonce}):
                os.write(self._process.requests, buffer)

    def _first_answer(self) -> Any:
        """Return the answer to what is asked before any submission is loaded."""
        parser = wire.Parser(self._nonce, 0)
        try:
            reply, payload = self._exchange([], parser, time.monotonic() + _BOOT_SECONDS)
        except Broken as broken:  # nothing of the submission has run yet
            raise Broken(Verdict.INTERNAL_ERROR, f"the sandbox did not start: {broken.message}") from broken
        if not isinstance(reply, wire.Ok):
            raise Broken(Verdict.INTERNAL_ERROR, f"the sandbox did not start: {reply}")
        if not self._settled:
            self._process.settle()
            self._settled = True
        return wire.decode(reply, payload)

    def call(
        self, header: dict[str, Any], deadline: float, answer: Any = None, *, timed: bool = False, **values: Any
    ) -> wire.Reply | Any:
        """Send one request and return its decoded value, or the `Failed` reply; `timed` sets `took`. Raises Broken.

        `deadline` is absolute (`time.monotonic`) and covers writing, computing and reading. `answer` maps a
        `Called` reply and its decoded arguments to the value to send back; it is given where functions are passed.
        """
        self.ready()
        self._nonce = secrets.token_hex(8)
        request = {**header, "nonce": self._nonce}
        buffers = wire.encode(request, **values)
        while True:
            parser = wire.Parser(self._nonce, self._limits.answer_mib << 20)
            waited, began = self._waited() if timed else 0.0, time.perf_counter()
            reply, payload = self._exchange(buffers, parser, deadline)
            if timed:
                self.took = time.perf_counter() - began - (self._waited() - waited)
            if isinstance(reply, wire.Failed):
                return reply
            try:
                value = wire.decode(reply, payload)
            except wire.WireError as error:
                raise self._break(Verdict.PROTOCOL_VIOLATION, str(error)) from error
            if isinstance(reply, wire.Ok):
                return value
            if answer is None:
                raise self._break(Verdict.PROTOCOL_VIOLATION, "it called a function that it was not given")
            self._nonce = secrets.token_hex(8)
            buffers = answer(reply.id, value, self._nonce)

    def close(self) -> Ended:
        """End the sandbox and say how it ended and what it used."""
        if self._ended is None:
            try:
                self._drain()
            except Broken:  # too much was printed: it is closed already
                return self.close()
            self._ended = self._process.kill()
        return self._ended

    def spent(self) -> tuple[float, float] | None:
        """Return processor seconds and the most MiB so far; None where that is known at its end, which has to come."""
        if self._ended is None:
            with contextlib.suppress(Broken):  # too much was printed: it is closed already
                self._drain()
                return self._process.spent()
        return None

    def quiet(self) -> bool:
        """Tell whether nothing unasked lies in the answers' pipe."""
        if self._ended is not None:
            return True
        try:
            return not self._process.read_answers(memoryview(bytearray(1)))
        except BlockingIOError:
            return True

    def _waited(self) -> float:
        """Return how long judge and sandbox were ready to run while something else had their core, by the kernel."""
        return waited_seconds("self") + self._process.waited_seconds()

    def cpu_seconds(self) -> float:
        """Return the processor time used so far; NaN where the engine cannot tell, or the sandbox has ended."""
        return self._process.cpu_seconds() if self._ended is None else float("nan")

    @property
    def alive(self) -> bool:
        """Whether the sandbox can still be asked."""
        return self._ended is None

    @property
    def printed(self) -> str:
        """The tail of what the submission printed; not cleaned."""
        return b"".join(self._prints)[-_CHUNK:].decode("utf-8", "replace")

    def _break(self, verdict: Verdict, message: str) -> Broken:
        self.close()
        return Broken(verdict, message)

    def _exchange(
        self, buffers: list[memoryview], parser: wire.Parser, deadline: float
    ) -> tuple[wire.Reply, memoryview]:
        """Write the request and read one frame, whichever of the two is possible, until the deadline."""
        if self._ended is not None:
            raise Broken(Verdict.INTERNAL_ERROR, "the sandbox is closed")
        pending = deque(buffer.cast("B") for buffer in buffers if buffer.nbytes)
        process = self._process
        if pending and not self.quiet():
            raise self._break(Verdict.PROTOCOL_VIOLATION, "it sent bytes that nobody had asked for")
        poll = select.poll()
        poll.register(process.answers, select.POLLIN)
        poll.register(process.prints, select.POLLIN)
        if pending and self._write(pending):  # a small request is taken at once
            poll.register(process.requests, select.POLLOUT)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._break(Verdict.TIME_LIMIT_EXCEEDED, "it did not answer in time")
            for descriptor, _ in poll.poll(1000 * left):
                if descriptor == process.prints:
                    if not self._drain():
                        poll.unregister(process.prints)
                elif descriptor == process.requests:
                    if not self._write(pending):
                        poll.unregister(process.requests)
                elif pending and not self.quiet():
                    raise self._break(Verdict.PROTOCOL_VIOLATION, "it answered before it was asked")
                elif self._read(parser):
                    return parser.result()

    def _write(self, pending: deque[memoryview]) -> bool:
        """Write what the pipe takes; False when nothing is left."""
        try:
            while pending:
                count = os.writev(self._process.requests, list(itertools.islice(pending, _MOST_BUFFERS)))
                while pending and count >= pending[0].nbytes:
                    count -= pending.popleft().nbytes
                if count:
                    pending[0] = pending[0][count:]
        except BlockingIOError:
            return True
        except ConnectionError as error:
            raise self._gone() from error
        return False

    def _read(self, parser: wire.Parser) -> bool:
        """Read what the pipe has; True when the frame is whole."""
        try:
            while True:
                count = self._process.read_answers(parser.view())
                if count == 0:
                    raise self._gone()
                if parser.advance(count):
                    return True
        except BlockingIOError:
            return False
        except wire.WireError as error:
            raise self._break(Verdict.PROTOCOL_VIOLATION, str(error)) from error

    def _drain(self) -> bool:
        """Take what was printed; False at its end. More than the limit ends the sandbox."""
        try:
            while chunk := self._process.read_prints():
                self._prints.append(chunk)
                self._printed += len(chunk)
                if self._printed > self._limits.printed_mib << 20 and self._ended is None:
                    self._ended = self._process.kill()
                    limit = f"it printed more than {self._limits.printed_mib} MiB"
                    raise Broken(Verdict.OUTPUT_LIMIT_EXCEEDED, limit)
        except BlockingIOError:
            return True
        return False

    def _gone(self) -> Broken:
        """Say what became of a process that hung up."""
        limit = time.monotonic() + _GRACE_SECONDS
        while not self._process.ended() and time.monotonic() < limit:
            time.sleep(0.002)
        left_by_itself = self._process.ended()
        ended = self.close()
        if ended.cause == "lost":
            return Broken(Verdict.INTERNAL_ERROR, "the sandbox was ended from outside")
        if not left_by_itself:
            return Broken(Verdict.PROTOCOL_VIOLATION, "it closed the channel to the judge")
        if ended.cause == "memory":
            return Broken(Verdict.MEMORY_LIMIT_EXCEEDED, f"it needed more than {self._limits.memory_mib} MiB")
        if ended.cause == "signal":
            return Broken(Verdict.RUNTIME_ERROR, f"it crashed the process (signal {ended.number})")
        return Broken(Verdict.RUNTIME_ERROR, f"it ended the process (exit status {ended.number})")
