"""Puts escape sequences, markup, formulas and reversed text into what a person will read.

Id: A90
Exercise: double
Verdict: import_error
"""

raise ValueError("\x1b[2J\x1b]0;owned\x07 \u202eedoc\u202c \u200b=cmd|'/c calc'!A0 \x00 <script>alert(1)</script> \r ok\b")
