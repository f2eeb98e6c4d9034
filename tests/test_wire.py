"""Frames: whatever bytes come, a value or a WireError; and every value crosses as it is, memory layout included."""

import contextlib
import json
import math
import os
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grader import harness, wire
from grader.mistakes import InProcess
from grader.returns import Scalar, Unsupported
from grader.wire import Parser, WireError

NONCE = "00ff"
CAP = 1 << 16


def frame(header, payload=b""):
    """Build a frame of a header (a dict, or its bytes) and a payload."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + payload


def ok(value, **fields):
    """Build the header of an answer."""
    return {"status": "ok", "nonce": NONCE, "value": value, **fields}


def array(shape, dtype="float64", k="ndarray"):
    """Build an array's node."""
    return {"t": "array", "k": k, "dtype": dtype, "shape": shape}


def feed(stream, pieces=None, cap=CAP):
    """Parse the first frame of `stream`, which comes in pieces of these sizes; None if it is not whole.

    Returns the reply, its decoded value, and the bytes that were not taken.
    """
    parser = Parser(NONCE, cap)
    sizes = iter(pieces or ())
    rest = memoryview(stream)
    while rest:
        view = parser.view()
        assert view.nbytes > 0
        assert view.nbytes <= max(cap, wire.MAX_HEADER_BYTES)
        count = min(view.nbytes, rest.nbytes, next(sizes, 1 << 30))
        view[:count] = rest[:count]
        rest = rest[count:]
        if parser.advance(count):
            reply, payload = parser.result()
            return reply, None if isinstance(reply, wire.Failed) else wire.decode(reply, payload), bytes(rest)
    return None


GOOD = frame(ok({"t": "list", "v": [array([2, 1]), array([], "bool", "scalar"), {"t": "none"}]}), bytes(16) + b"\1")

leaves = st.one_of(
    st.sampled_from([{"t": "none"}, {"t": "bool", "v": True}, {"t": "int", "v": "-7"}, {"t": "handle", "id": 3}]),
    st.builds(lambda v: {"t": "float", "v": v.hex()}, st.floats()),
    st.builds(lambda v: {"t": "str", "v": v}, st.text(max_size=5)),
    st.builds(
        array,
        st.lists(st.sampled_from([0, 1, 2, 3, 2**20, 2**31, 2**40, 2**63, -1]), max_size=10),
        st.sampled_from([*wire.DTYPES, "object", "<f8", "V8"]),
        st.sampled_from(["ndarray", "scalar", "tensor", "matrix"]),
    ),
    st.dictionaries(st.sampled_from(["t", "v", "k", "id", "shape"]), st.sampled_from(["int", 1, None, [], "9", 1e400])),
)
trees = st.recursive(
    leaves,
    lambda part: st.one_of(
        st.builds(lambda v, t: {"t": t, "v": v}, st.lists(part, max_size=4), st.sampled_from(["list", "tuple", "set"])),
        st.builds(
            lambda k, v: {"t": "dict", "k": k, "v": v},
            st.lists(st.sampled_from(["a", "b"]), max_size=3),
            st.lists(part, max_size=3),
        ),
    ),
    max_leaves=6,
)


@given(stream=st.binary(max_size=300), pieces=st.lists(st.integers(1, 40), max_size=20))
def test_random_bytes_are_refused(stream, pieces):
    """Bytes at random never become an answer, and never anything but a WireError."""
    with contextlib.suppress(WireError):
        assert feed(stream, pieces) is None


@given(value=trees, payload=st.binary(max_size=200))
@settings(max_examples=300)
@example(value=array([0, 2**40, 2**40]), payload=b"")
@example(value=array([0] + [2**40] * 7), payload=b"")
@example(value=array([2**40] * 8, "complex128"), payload=b"")
@example(value=array([1] * 64), payload=bytes(8))
def test_json_of_any_form_gives_a_value_or_a_wire_error(value, payload):
    """Headers that are JSON, with wrong tags, wrong types and impossible sizes, do nothing worse than WireError."""
    try:
        result = feed(frame(ok(value), payload))
    except WireError:
        return
    if result is not None:
        assert len(result[2]) <= len(payload)


@given(data=st.data())
def test_a_good_frame_with_one_byte_changed_stays_harmless(data):
    """Any one byte of a good frame can be another without harm."""
    position = data.draw(st.integers(0, len(GOOD) - 1))
    changed = bytearray(GOOD)
    changed[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        feed(bytes(changed))


@given(pieces=st.lists(st.integers(1, 9), min_size=len(GOOD), max_size=len(GOOD)))
def test_a_dribbled_frame_is_read_like_a_whole_one(pieces):
    """How the bytes are cut into pieces changes nothing."""
    _, value, rest = feed(GOOD, pieces)
    assert value[0].tolist() == [[0.0], [0.0]]
    assert isinstance(value[1], Scalar)
    assert value[1].array.item() is True
    assert value[2] is None
    assert rest == b""


@given(length=st.integers(0, len(GOOD) - 1))
def test_a_truncated_frame_is_not_whole(length):
    """What is cut short anywhere is neither an answer nor an error yet."""
    assert feed(GOOD[:length]) is None


def test_a_frame_leaves_what_follows_it_alone():
    """Of a frame sent twice only the first is taken, so that the second can be noticed in the pipe."""
    assert feed(GOOD + GOOD)[2] == GOOD


@pytest.mark.parametrize(
    "header",
    [
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"status": "ok"}',
        ok({"t": "none"}) | {"nonce": "00fe"},
        ok({"t": "none"}) | {"nonce": None},
        ok({"t": "none"}, extra=1),
        ok({"t": "none", "v": 1}),
        ok({"t": "object"}),
        ok({"t": "int", "v": 3}),
        ok({"t": "int", "v": "1e3"}),
        ok({"t": "int", "v": "9" * 61}),
        ok({"t": "float", "v": "zero"}),
        ok({"t": "float", "v": "0x1p99999"}),
        ok({"t": "bool", "v": 1}),
        ok({"t": "str", "v": "x" * 65537}),
        ok({"t": "dict", "k": ["a", "a"], "v": [{"t": "none"}, {"t": "none"}]}),
        ok({"t": "dict", "k": ["a"], "v": []}),
        ok({"t": "handle", "id": -1}),
        ok({"t": "handle", "id": 1 << 40}),
        ok(array([1.5])),
        ok(array([-1])),
        ok(array([1 << 41])),
        ok(array([1] * 9)),
        ok(array([1], "float64", "scalar")),
        ok(array([1], "bfloat16")),
        ok(array([2**40, 2**24])),
        ok(array([0, 2**40, 2**40])),
        {"status": "callback", "nonce": NONCE, "id": -3, "value": {"t": "none"}},
        {"status": "callback", "nonce": NONCE, "id": 1, "value": array([wire.MAX_CALLBACK_BYTES], "float64")},
        {"status": "error", "nonce": NONCE, "kind": "accepted"},
        {"status": "error", "nonce": NONCE, "kind": "exception", "text": "x" * 2001},
        {"status": "accepted", "nonce": NONCE},
    ],
)
def test_a_frame_that_breaks_a_rule_is_refused(header):
    """Each of these breaks one rule of the protocol and is a WireError, whatever the payload."""
    with pytest.raises(WireError):
        feed(frame(header, bytes(64)), cap=1 << 26)


@pytest.mark.parametrize("depth", [34, 2000, 50_000])
def test_deep_nesting_is_refused(depth):
    """Neither the JSON reader's nor Python's stack can be used up."""
    value = b'{"t":"list","v":[' * depth + b"]}" * depth
    with pytest.raises(WireError):
        feed(frame(b'{"status":"ok","nonce":"00ff","value":' + value + b"}"))


@pytest.mark.parametrize("length", [0, wire.MAX_HEADER_BYTES + 1, (1 << 32) - 1])
def test_a_header_of_impossible_length_is_refused(length):
    """A header's length is checked before memory is taken for it."""
    with pytest.raises(WireError):
        feed(struct.pack("<I", length) + b"{}")


@pytest.mark.parametrize("shape", [[2**40], [2**20, 2**20], [2**13, 2**13, 1], [2**40] * 8])
def test_announced_sizes_take_no_memory_beyond_the_cap(shape):
    """An announcement of terabytes is refused before any of it is allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            feed(frame(ok({"t": "list", "v": [array([2]), array(shape)]}), bytes(64)))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_many_small_arrays_count_together():
    """The cap holds for the sum of an answer's arrays."""
    half = array([CAP // 16 + 1])
    feed(frame(ok(half), bytes(CAP)))
    with pytest.raises(WireError):
        feed(frame(ok({"t": "list", "v": [half, half]}), bytes(CAP)))


def test_bool_bytes_are_0_or_1():
    """A bool array from bytes other than 0 and 1 holds plain True and False."""
    value = feed(frame(ok(array([4], "bool")), bytes([0, 1, 2, 255])))[1]
    assert value.view(np.uint8).tolist() == [0, 1, 1, 1]


def test_nan_with_any_payload_stays_nan():
    """NaNs cross bit by bit, and as Python floats."""
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000123], np.uint64)
    value = feed(frame(ok(array([2])), bits.tobytes()))[1]
    assert value.view(np.uint64).tolist() == bits.tolist()
    assert math.isnan(feed(frame(ok({"t": "float", "v": "nan"})))[1])


@pytest.mark.parametrize("strides", [None, [1, 2]])
def test_what_the_harness_remembers_is_no_memory_of_an_argument(strides):
    """An argument changed in place, in any layout, differs from the bytes kept, which nothing can write to."""
    sent = np.arange(4, dtype=np.float64)
    kept = sent.copy()
    payload = kept.view(np.uint8).data.toreadonly()
    node = array([2, 2]) | ({"strides": strides} if strides else {})
    nobody = harness.Harness(lambda *_: None, lambda: (None, payload))
    value = harness.Decoder(nobody, payload).value(node)
    assert harness.same(node, value, payload)
    value[1, 1] = 9
    assert not harness.same(node, value, payload)
    assert kept.tolist() == sent.tolist()


def test_decoded_arrays_share_no_memory():
    """Each array is the judge's own, aligned and writable, apart from its neighbours and from later answers."""
    header = ok({"t": "list", "v": [array([3], "uint8"), array([2]), array([2], "float32")]})
    content = bytes([7, 8, 9]) + struct.pack("<2d2f", 1, 2, 3, 4)
    (_, first, _), (_, second, _) = (feed(frame(header, content)) for _ in range(2))
    for each in first:
        assert each.flags.writeable
        assert each.flags.aligned
    first[1] += 1
    assert [each.tolist() for each in first] == [[7, 8, 9], [2.0, 3.0], [3.0, 4.0]]
    assert [each.tolist() for each in second] == [[7, 8, 9], [1.0, 2.0], [3.0, 4.0]]


def test_integers_beyond_64_bits_are_no_numbers():
    """NumPy cannot compare them: they are told apart from numbers before any checker sees them."""
    assert feed(frame(ok({"t": "int", "v": str(2**63 - 1)})))[1] == 2**63 - 1
    assert isinstance(feed(frame(ok({"t": "int", "v": str(2**63)})))[1], Unsupported)


# --- round trips through the real harness


class Peer:
    """A real harness process, spoken to with the judge's encoder and parser."""

    def __init__(self, *, torch=False):
        """Start it."""
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", harness.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        hello = {"torch": torch, "modules": [], "memory_bytes": 0, "max_answer_bytes": 1 << 24}
        hello |= {"names": [], "operators": []}
        self.ask({"op": "hello", **hello})

    def ask(self, header, **values):
        """Send one request and return the decoded answer."""
        for buffer in wire.encode({**header, "nonce": NONCE}, **values):
            rest = buffer
            while rest:
                rest = rest[self.requests.write(rest) :]
        parser = Parser(NONCE, 1 << 24)
        while True:
            count = os.readv(self.answers.fileno(), [parser.view()])
            assert count
            if parser.advance(count):
                break
        reply, payload = parser.result()
        return reply if isinstance(reply, wire.Failed) else wire.decode(reply, payload)

    def close(self):
        """Hang up; the harness must then end by itself."""
        self.requests.close()
        assert self.process.wait(20) == 0
        self.answers.close()


LOOK = """
import numpy as np
def look(x):
    return [list(x.strides), [bool(x.flags[name]) for name in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED")]]
def look_tensor(x):
    return [list(x.stride()), x.is_contiguous()]
def give(name):
    class Friendly(np.ndarray):
        def __eq__(self, other):
            return True
    plain = np.arange(6.0)
    return {
        "subclass": plain.view(Friendly), "object": plain.astype(object), "masked": np.ma.array(plain, mask=plain > 2),
        "structured": np.zeros(2, [("a", "f8"), ("b", "i4")]), "datetime": np.zeros(2, "datetime64[s]"),
        "string": np.array(["a", "b"]), "matrix": np.asmatrix(plain), "record": np.zeros(2, "f8,f8").view(np.recarray),
        "long": np.zeros(2, np.longdouble), "rank": np.zeros([1] * 9), "set": {1.0}, "range": range(3), "type": float,
        "huge": 1 << 63, "bytes": b"abc", "keys": {1: 2.0}, "int_subclass": type("I", (int,), {})(3),
        "list_subclass": type("L", (list,), {})([1.0]), "bool_array_scalar": np.str_("x"),
    }[name]
"""


@pytest.fixture(scope="module")
def peer():
    """Give a harness with a file that reports what it sees."""
    peer = Peer()
    assert peer.ask({"op": "load", "interface": []}, source=LOOK) is None
    yield peer
    peer.close()


def call(peer, name, *args):
    """Call a function of the file."""
    return peer.ask({"op": "call", "target": {"name": name}}, args=list(args), kwargs={})


NUMPY_DTYPES = [name for name in wire.DTYPES if name != "bfloat16"]


def filled(dtype, shape):
    """Return an array of a dtype with all bits in use: NaN, infinities and extremes among them."""
    rng = np.random.default_rng(len(shape))
    raw = rng.integers(0, 256, size=(*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    return raw.view(dtype).reshape(shape) if dtype != "bool" else (raw > 127).reshape(shape)


def alike(got, want):
    """Tell whether two arrays are equal bit by bit."""
    return got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 1), (1,) * 8])
def test_every_dtype_and_rank_crosses_both_ways(peer, dtype, shape):
    """An array comes back bit by bit, 0-d and empty ones included."""
    want = filled(dtype, shape)
    assert alike(peer.ask({"op": "echo"}, value=want), want)


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_numpy_scalars_stay_scalars(peer, dtype):
    """A NumPy scalar is told apart from a 0-d array in both directions."""
    want = filled(dtype, (1,))
    got = peer.ask({"op": "echo"}, value=want[0])
    assert isinstance(got, Scalar)
    assert alike(got.array.reshape(1), want)


def test_byte_swapped_arrays_cross_by_value(peer):
    """Big-endian memory is turned round, in value unchanged."""
    got = peer.ask({"op": "echo"}, value=np.arange(5, dtype=">f4"))
    assert alike(got, np.arange(5, dtype="f4"))


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -(2**63), 2**63 - 1, 0.1, -0.0, math.inf, 1e-320, 1 + 2j, "", "a\0\n\u2028é\U0001f600",
        [], (), {}, [1, [2.0, (None,)]], (True, 1, 1.0), {"a": [1], "b": {"c": ()}, "": 0},
    ],
)  # fmt: skip
def test_plain_values_cross_with_their_types(peer, value):
    """Numbers, texts, lists, tuples and dicts come back equal and of the same types throughout."""
    assert repr(peer.ask({"op": "echo"}, value=value)) == repr(value)


def test_nan_crosses_as_a_float(peer):
    """NaN stays NaN."""
    assert math.isnan(peer.ask({"op": "echo"}, value=math.nan))


def views():
    """List arrays that lie in memory in many ways."""
    cube = np.arange(120.0).reshape(4, 5, 6)
    return {
        "plain": cube,
        "fortran": np.asfortranarray(cube),
        "transposed": cube.transpose(2, 0, 1),
        "reversed": cube[::-1, :, ::-1],
        "reversed vector": cube[0, 0, ::-1],
        "gaps": cube[:, :, ::3],
        "gaps between rows": cube[:, ::2],
        "backward gaps": cube[::-2, ::-1, 4:1:-2],
        "column": cube[:, 2, 3],
        "window": cube[1:3, 1:4, 2:5],
        "length one": cube[:, 1:2, ::2],
        "fortran reversed": np.asfortranarray(cube)[::-1, ::2],
        "float32": cube.astype("f4")[:, ::-2].T,
        "bool": (cube > 7)[::-1].T,
    }


@pytest.mark.parametrize("name", views())
def test_the_submission_sees_the_same_memory_layout(peer, name):
    """Strides and flags are the same on both sides; the values are too."""
    want = views()[name]
    strides, flags = call(peer, "look", want)
    assert [s for s, n in zip(strides, want.shape, strict=True) if n > 1] == [
        s for s, n in zip(want.strides, want.shape, strict=True) if n > 1
    ]
    assert flags == [want.flags.c_contiguous, want.flags.f_contiguous, True, True]
    assert alike(peer.ask({"op": "echo"}, value=want), want)


@pytest.mark.parametrize(
    "value",
    [
        np.broadcast_to(1.5, (3, 4)),
        np.lib.stride_tricks.sliding_window_view(np.arange(9.0), 4),
        np.lib.stride_tricks.as_strided(np.zeros(1 << 23)[:1], (2,), (8 << 22,)),
    ],
)
def test_memory_that_is_shared_or_far_apart_crosses_in_c_order(peer, value):
    """Elements that share memory, or lie megabytes apart, come out as an ordinary writable array."""
    assert call(peer, "look", value)[1] == [True, value.ndim == 1, True, True]
    assert alike(peer.ask({"op": "echo"}, value=value), np.ascontiguousarray(value))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_slice_of_any_transpose_crosses(data):
    """Drawn slices, steps and axes keep their values and strides."""
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    whole = np.arange(float(math.prod(shape))).reshape(shape).transpose(data.draw(st.permutations(range(len(shape)))))
    steps = data.draw(st.lists(st.sampled_from([1, -1, 2, -2, 3]), min_size=len(shape), max_size=len(shape)))
    want = whole[tuple(slice(None, None, step) for step in steps)]
    source = "def f(x):\n    return x, list(x.strides)\n"
    callee = InProcess(source.encode())
    got, strides = callee.ask({"op": "call", "target": {"name": "f"}}, {"args": [want], "kwargs": {}})
    assert alike(got, want)
    kept = [(s, t) for s, t, n in zip(strides, want.strides, want.shape, strict=True) if n > 1]
    contiguous = want.flags.c_contiguous
    assert contiguous or all(s == t for s, t in kept)


@pytest.mark.parametrize(
    "name",
    [
        "subclass", "object", "masked", "structured", "datetime", "string", "matrix", "record", "long", "rank", "set",
        "range", "type", "huge", "bytes", "keys", "int_subclass", "list_subclass", "bool_array_scalar",
    ],
)  # fmt: skip
def test_what_is_no_plain_data_crosses_as_its_types_name(peer, name):
    """Subclasses, objects, masks, records, dates: only the name of the type crosses, or an opaque handle."""
    assert isinstance(call(peer, "give", name), Unsupported | wire.Handle)


@pytest.mark.parametrize("value", [np.zeros(2, object), np.zeros(2, "datetime64[s]"), object(), {1.0}])
def test_a_test_that_sends_what_cannot_cross_is_told_so(value):
    """The author's mistake is a TypeError, in words."""
    with pytest.raises(TypeError, match="cannot cross"):
        wire.encode({"op": "echo"}, value=value)


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_generators_cross_by_their_state(bits):
    """The submission draws what a copy of the judge's generator draws, mid-stream and of every kind."""
    rng = np.random.Generator(getattr(np.random, bits)(5))
    rng.integers(0, 9, size=3, dtype=np.int32)
    callee = InProcess(b"def f(rng):\n    return rng.normal(size=3), rng.random()\n")
    got = callee.ask({"op": "call", "target": {"name": "f"}}, {"args": [rng], "kwargs": {}})
    assert alike(got[0], rng.normal(size=3))
    assert got[1] == rng.random()


def test_tensors_of_every_dtype_and_layout_cross():
    """Tensors keep dtype (bfloat16 too), values, strides; 0-d and empty ones included."""
    torch = pytest.importorskip("torch")
    with contextlib.closing(Peer(torch=True)) as peer:
        check_tensors(torch, peer)


@pytest.mark.parametrize("shape", [[0], [2, 0], [0, 2**40], [0, 2**40, 2**40], [0] + [2**40] * 7, [1] * 8, []])
@pytest.mark.parametrize("dtype", wire.DTYPES)
def test_tensor_headers_of_any_shape_give_a_tensor_or_a_wire_error(shape, dtype):
    """PyTorch, too, is never asked for a shape that it cannot make."""
    pytest.importorskip("torch")
    try:
        _, value, _ = feed(frame(ok(array(shape, dtype, "tensor")), bytes(16)))
    except WireError:
        return
    assert list(value.shape) == shape


def check_tensors(torch, peer):
    """Echo them all."""
    assert peer.ask({"op": "load", "interface": []}, source=LOOK) is None
    for name in harness.TORCH_DTYPES:
        dtype = getattr(torch, name)
        for shape in [(), (0,), (2, 0), (3,), (2, 3, 4)]:
            want = torch.arange(math.prod(shape)).reshape(shape).to(dtype) / (1 if not dtype.is_floating_point else 3)
            got = peer.ask({"op": "echo"}, value=want.to(dtype))
            assert got.dtype == dtype
            assert got.shape == want.shape
            assert torch.equal(got, want.to(dtype))
    cube = torch.arange(120.0).reshape(4, 5, 6)
    for want in [cube.permute(2, 0, 1), cube[:, ::2, ::3], cube[1:3, :, 2], cube.expand(2, 4, 5, 6)]:
        strides, contiguous = call(peer, "look_tensor", want)
        shared = 0 in want.stride()
        assert strides == list(want.contiguous().stride() if shared else want.stride())
        assert contiguous == (shared or want.is_contiguous())
        assert torch.equal(peer.ask({"op": "echo"}, value=want), want)


@given(text=st.text(max_size=100))
def test_a_cleaned_name_is_a_name(text):
    """What is shown as a type's name is made of identifiers only, and short."""
    name = wire.clean_name(text)
    assert all(part.isidentifier() for part in name.split("."))
    assert len(name) <= 80


@pytest.mark.parametrize("kind", ["policy", "tampered"])
def test_a_violation_is_a_reply_with_a_name_and_a_line(kind):
    """Both kinds are of the protocol; a longer name, a negative line and a word of the sandbox's own are not."""
    failed = {"status": "error", "nonce": NONCE, "kind": kind, "name": "torch.nn.MultiheadAttention", "line": 7}
    reply, _, rest = feed(frame(failed))
    assert (reply.kind, reply.name, reply.line, rest) == (kind, failed["name"], 7, b"")
    for change in ({"name": "x" * 201}, {"line": -1}, {"line": 1 << 40}, {"kind": "cheated"}, {"who": "me"}):
        with pytest.raises(WireError):
            feed(frame(failed | change))
