"""Ends the process with status 0 before anything is asked.

Id: A34
Exercise: double
Verdict: import_error
"""

import os

os._exit(0)
