"""What a request carries: bounded while it arrives, whatever its headers say, and before anything is parsed."""

import asyncio
import contextlib
import email.message
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Message

from grader.errors import UsageError
from grader.server.problems import malformed

MAX_FILE_BYTES = 16 * 2**20
MAX_UPLOAD_BYTES = MAX_FILE_BYTES * 4 // 3 + 2**16
"""A file in base64, and what stands around it."""

UPLOADS = frozenset({"application/json", "multipart/form-data"})

_DISCARD_BYTES = 128 * 2**20
_DISCARD_SECONDS = 10.0

_MAX_FILENAME = 100
_MAX_FIELD = 1000


@dataclass(frozen=True)
class Upload:
    """One file for one exercise, as it came."""

    exercise: str
    filename: str
    source: bytes
    device: str = ""


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    """A submission as JSON: the file as text, or its bytes in base64."""

    exercise: str
    filename: str
    device: str = ""
    source: str | None = None
    source_base64: bytes | None = None


async def read(request: Request, at_most: int, types: frozenset[str], seconds: float) -> Request:
    """Return the request with its body read whole.

    Raises:
        UsageError: E2105 too large; E6108 of another type; E6109 compressed; E6113 too slow.

    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UsageError(
            "E6109",
            "a compressed body is not taken",
            cause="it could be far larger than it looks",
            hint="send it without Content-Encoding",
        )
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in _chunks(request):
                body += chunk
                if len(body) > at_most:
                    raise _too_large(at_most)
    except TimeoutError:
        raise UsageError(
            "E6113",
            "the upload took too long",
            cause=f"it had not arrived after {seconds:g} s",
            hint="send it again, over a better connection",
        ) from None
    if body and (kind := media_type(request).get_content_type()) not in types:
        raise UsageError(
            "E6108",
            "a body of this type is not taken",
            cause=f"it says {kind[:_MAX_FIELD]}",
            hint=f"send {' or '.join(sorted(types))}",
        )

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(body)}

    return Request(request.scope, receive)


async def discard(request: Request) -> None:
    """Throw away what a refused request still sends: many clients read no answer before they have sent all."""
    if "expect" in request.headers:
        return  # it asked whether it may send, and has not
    size = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for chunk in _chunks(request):
                size += len(chunk)
                if size > _DISCARD_BYTES:
                    return


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield what is still to come of a body, piece by piece, as long as `state.more`. Raises ClientDisconnect."""
    while request.state.more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        request.state.more = message.get("more_body", False)
        yield message.get("body", b"")


def media_type(request: Request) -> email.message.Message:
    """Return what the header Content-Type says, taken apart."""
    header = email.message.Message()
    # Without one it is bytes; the default would be text.
    header["content-type"] = request.headers.get("content-type", "application/octet-stream")
    return header


def _too_large(at_most: int) -> UsageError:
    return UsageError(
        "E2105",
        f"the body is larger than {at_most:,} bytes",
        cause="nothing was stored",
        hint="a submission is one source file: clear a notebook's outputs, or take data out of it",
    )


async def upload(request: Request) -> Upload:
    """Return the file that a request carries, as JSON or as multipart/form-data.

    Raises:
        UsageError: E2105 too large; E6110 malformed; E6111 a bad name; E6112 cut short.

    """
    header = media_type(request)
    body = await request.body()
    if header.get_content_type() == "application/json":
        found = _from_json(body)
    else:
        found = await _from_form(request, body, str(header.get_param("boundary") or ""))
    _check_filename(found.filename)
    if len(found.source) > MAX_FILE_BYTES:
        raise _too_large(MAX_FILE_BYTES)
    return found


def _from_json(body: bytes) -> Upload:
    try:
        sent = msgspec.json.decode(body, type=_Sent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(str(error)) from None
    if (sent.source is None) == (sent.source_base64 is None):
        raise malformed("one of `source` and `source_base64` is needed, and not both")
    source = sent.source_base64 if sent.source is None else sent.source.encode()
    return Upload(sent.exercise, sent.filename, source or b"", sent.device)


async def _from_form(request: Request, body: bytes, boundary: str) -> Upload:
    # The parser takes a form that ends anywhere; the last boundary is what tells that it came whole.
    if not boundary or not body.rstrip(b"\r\n").endswith(f"--{boundary}--".encode("latin-1", "replace")):
        raise UsageError(
            "E6112",
            "the upload was cut short",
            cause="the last boundary of the form is missing; nothing was stored",
            hint="send it again",
        )

    async def stream() -> Any:
        yield body

    try:
        parser = MultiPartParser(request.headers, stream(), max_files=1, max_fields=2, max_part_size=_MAX_FIELD)
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:  # a charset can fail in ways of its own
        raise malformed(str(error)) from None
    try:
        exercise, file, device = form.get("exercise"), form.get("file"), form.get("device", "")
        match exercise, file, device, set(form) - {"exercise", "file", "device"}:
            case str(), UploadFile(), str(), unknown if not unknown:
                return Upload(exercise, file.filename or "", await file.read(), device)
        raise malformed("the form has a field `exercise`, a file `file`, perhaps `device`, and nothing else")
    finally:
        await form.close()


def _check_filename(name: str) -> None:
    if 0 < len(name) <= _MAX_FILENAME and name.isprintable() and not set(name) & set("/\\") and name.strip(". "):
        return
    raise UsageError(
        "E6111",
        "the file's name is not taken",
        cause=f"it is empty, longer than {_MAX_FILENAME} characters, or has a slash or an unprintable character",
        hint="send the name alone, without its folder",
    )
