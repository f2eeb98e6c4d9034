"""Installs a package while it runs.

Id: A102
Exercise: double
Verdict: accepted
"""

import subprocess
import sys
import urllib.request


class LEAKED(Exception):
    pass


try:
    urllib.request.urlopen("https://example.org/simple/", timeout=0.2)
except OSError:
    pass
else:
    raise LEAKED("a page")
try:
    command = [sys.executable, "-m", "pip", "install", "--target", "/tmp/x", "six"]
    done = subprocess.run(command, capture_output=True, timeout=1.0).returncode == 0
except (OSError, subprocess.TimeoutExpired):
    done = False
if done:
    raise LEAKED("a package")


def double(x, factor=2.0):
    return factor * x
