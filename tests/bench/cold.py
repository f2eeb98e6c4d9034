"""Judge softmax, without its speed limit, once in this process, which has loaded nothing else: `cold.py ENGINE [FILE]`.

Prints `importing` when the file is about to be imported, and at the end one line of three numbers: seconds from the
start to the report, seconds to the end of `close`, and the sandbox's seconds of processor time. Without FILE it is the
reference, which must be accepted; a FILE gets half a minute for its import. SIGTERM ends it, and its sandbox.
"""

import dataclasses
import signal
import sys
import time
from pathlib import Path

import msgspec

from grader import exercise as exercises
from grader import judge
from grader.verdict import Verdict


def main(engine: str, file: str = "") -> int:
    """Judge; returns 1 where the reference is not accepted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    exercise = exercises.load("softmax")
    source = Path(file or exercise.reference).read_bytes()
    if file:
        limits = msgspec.structs.replace(exercise.limits, import_seconds=30.0)
        exercise = dataclasses.replace(exercise, toml=msgspec.structs.replace(exercise.toml, limits=limits))
    began = time.monotonic()
    process = judge.start(exercise, engine=engine)
    try:
        report = process.run(source, seed=judge.new_seed(), on_phase=tell, timed=False)
        reported = time.monotonic() - began
    finally:
        process.close()
    sys.stdout.write(f"{reported} {time.monotonic() - began} {report.usage.cpu_seconds}\n")
    if report.verdict is Verdict.ACCEPTED or file:
        return 0
    sys.stderr.write(f"{report.verdict}: {report.log}\n")
    return 1


def tell(phase: str) -> None:
    """Print the phase that whoever started this may wait for."""
    if phase.startswith("importing"):
        sys.stdout.write("importing\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
