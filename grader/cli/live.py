"""A judging on its way, as a server tells of it: a growing table on a terminal, a line for each phase elsewhere."""

import datetime as dt
import time
from typing import TYPE_CHECKING, Self

from grader.cli import terminal

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PHASES = {
    "received": "received",
    "queued": "queued",
    "claimed": "taken by a worker",
    "ready": "sandbox ready",
    "judged": "judged",
    "stored": "report stored",
}


class Journey:
    """The phases of one judging, told once each. Drawing starts a thread, so nothing may fork afterwards."""

    def __init__(self, subject: str) -> None:
        """Draw nothing yet."""
        self._subject = subject
        self._reached: list[tuple[str, dt.datetime]] = []
        self._line = Line()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Draw nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the table as it is, without what it waited for."""
        if self._live is not None:
            self._live.update(self._table(""))
            self._live.stop()

    def phase(self, name: str, at: dt.datetime) -> None:
        """Tell that a phase was reached; it may come again where the worker was lost."""
        if (name, at) in self._reached:
            return
        self._reached.append((name, at))
        self._line = Line()
        if terminal.live():
            self._draw()
        elif name != "queued":  # its place in the queue, which follows, says that
            terminal.say(f"{self._subject}: {PHASES.get(name, name)}")

    def position(self, before: int) -> None:
        """Tell how many are judged before; a plain stream is told the first number only."""
        first = self._line.first is None
        self._line.at(before, time.monotonic())
        if terminal.live():
            self._draw()
        elif first:
            terminal.say(f"{self._subject}: {self._line.text()}")

    def _draw(self) -> None:
        if terminal.flags.quiet:
            return
        waits = {"queued": self._line.text(), "stored": ""}
        table = self._table(waits.get(self._reached[-1][0], "judging") if self._reached else "")
        if self._live is None:
            import sys  # noqa: PLC0415

            from rich.live import Live  # noqa: PLC0415 - slow

            self._live = Live(table, console=terminal.console(sys.stderr), refresh_per_second=8)
            self._live.start()
        else:
            self._live.update(table)

    def _table(self, waits: str) -> "Table":
        from rich.spinner import Spinner  # noqa: PLC0415 - slow
        from rich.table import Table  # noqa: PLC0415 - slow
        from rich.text import Text  # noqa: PLC0415 - slow

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        before: dt.datetime | None = None
        for name, at in self._reached:
            took = "" if before is None else f"+{max(0.0, (at - before).total_seconds()):.2f} s"
            table.add_row(Text(f"  {PHASES.get(name, name)}"), at.astimezone().strftime("%H:%M:%S"), Text(took, "dim"))
            before = at
        if waits:
            table.add_row(Spinner("dots", Text(waits)))
        return table


class Line:
    """A place in the queue, and how fast it moves."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.first: tuple[int, float] | None = None
        self._last = (0, 0.0)

    def at(self, before: int, now: float) -> None:
        """Note how many come before, and when that was so."""
        self._last = before, now
        if self.first is None or before > self.first[0]:  # more urgent ones came: the pace is counted anew
            self.first = self._last

    def text(self) -> str:
        """Say the place and, once it has moved, how long that pace would need for the rest."""
        before, now = self._last
        told = "next in the queue" if before == 0 else f"in the queue, {before} before it"
        if self.first is None or before >= self.first[0]:
            return told
        seconds = (now - self.first[1]) / (self.first[0] - before) * (before + 1)
        return f"{told}, about {seconds:.0f} s at the pace so far" if before else told
