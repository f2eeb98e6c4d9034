"""Sends an archive that unpacks above its folder.

Id: A57
Exercise: double
Verdict: import_error
Sent: b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(16) + b"\x12\x00\x00\x00../../../etc/crond" + b"\xff" * 64
"""
