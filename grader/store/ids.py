"""Ids that sort by time and cannot be guessed: `s_` a submission, `j_` a judging.

After the prefix stand 9 characters of time (milliseconds since 1970, good until the year 3084)
and 9 of randomness (45 bits), in Crockford's base32: lower case, without i, l, o and u.
"""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 9


def new_id(prefix: str) -> str:
    """Return a fresh id such as `s_1jm3w8k0ta7x2d9qpv`."""
    return f"{prefix}_{_base32(time.time_ns() // 1_000_000)}{_base32(secrets.randbits(5 * _LENGTH))}"


def _base32(number: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
