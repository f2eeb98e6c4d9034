"""Grade deep-learning exercises: a trusted judge calls a student's file inside a sandbox."""

__version__ = "0.1.0"
