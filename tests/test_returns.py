"""The language of `returns`, and what `conform` makes of anything that can come over the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.returns import (
    Atom,
    Exactly,
    Many,
    Mismatch,
    Named,
    ReturnsError,
    Scalar,
    Unsupported,
    conform,
    parse_returns,
    spoken,
)
from grader.wire import Handle

WORDS = ["array", "tensor", "scalar", "int", "bool", "str", "none", "any"]
shapes = st.recursive(
    st.builds(Atom, st.sampled_from(WORDS)),
    lambda part: st.one_of(
        st.builds(Many, part), st.builds(Named, part), st.builds(Exactly, st.lists(part, min_size=1).map(tuple))
    ),
    max_leaves=8,
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.complex_numbers(),
        st.text(max_size=4),
        st.sampled_from([np.zeros(2), np.array(1.5), np.array(3), np.ones((), bool), np.array(1j), np.zeros((0, 3))]),
        st.sampled_from([Scalar(np.array(2, np.int8)), Scalar(np.array(0.5, np.float16)), Scalar(np.zeros((), bool))]),
        st.sampled_from([Unsupported("datetime.date"), Handle(3)]),
    ),
    lambda part: st.one_of(
        st.lists(part, max_size=3), st.lists(part, max_size=3).map(tuple), st.dictionaries(st.text(max_size=2), part)
    ),
    max_leaves=6,
)


def written(returns):
    """Write what was parsed down again."""
    match returns:
        case Atom(name):
            return name
        case Many(item):
            return f"[{written(item)}]"
        case Named(item):
            return f"{{{written(item)}}}"
        case Exactly(items):
            return f"({', '.join(map(written, items))})"


@given(returns=shapes)
def test_what_is_written_is_read_back(returns):
    """Every type of the language survives writing and parsing, with blanks or without."""
    assert parse_returns(written(returns)) == returns
    assert parse_returns(written(returns).replace(" ", "")) == returns


@pytest.mark.parametrize(
    "text", ["", "Array", "[array", "array]", "(array,)", "()", "[]", "array, array", "{int: x}", "%"]
)
def test_other_texts_are_refused(text):
    """What is not of the language is a ReturnsError that quotes it."""
    with pytest.raises(ReturnsError) as caught:
        parse_returns(text)
    assert repr(text) in str(caught.value)


@given(text=st.text(alphabet="[](){}, array\nint", max_size=12))
def test_any_text_is_parsed_or_refused(text):
    """No text does anything else."""
    try:
        returns = parse_returns(text)
    except ReturnsError:
        return
    assert parse_returns(written(returns)) == returns


@given(value=values, returns=shapes)
def test_conform_gives_the_declared_form_or_a_mismatch(value, returns):
    """Whatever arrives, a test sees exactly the declared structure, or the student reads one clean sentence."""
    words = "as expected"
    try:
        result = conform(value, returns, "f")
    except Mismatch as mismatch:
        words = str(mismatch)
    else:
        assert holds(result, returns)
    assert "expected" in words
    assert "\n" not in words


def holds(value, returns):
    """Tell whether a value has the declared structure, written apart from `conform`."""
    match returns:
        case Many(item):
            return type(value) is tuple and all(holds(part, item) for part in value)
        case Exactly(items):
            return type(value) is tuple and len(value) == len(items) and all(map(holds, value, items))
        case Named(item):
            return type(value) is dict and all(type(k) is str and holds(part, item) for k, part in value.items())
        case Atom("any"):
            return crosses(value)
        case Atom(name):
            number = type(value) in (int, float) or (type(value) is np.ndarray and value.ndim == 0)
            return {
                "array": type(value) is np.ndarray,
                "tensor": False,
                "scalar": number,
                "int": type(value) is int,
                "bool": type(value) is bool,
                "str": type(value) is str,
                "none": value is None,
            }[name]


def crosses(value):
    """Tell whether `any` may hold the value: no NumPy scalar in our wrapping, no name of an object."""
    if isinstance(value, list | tuple | dict):
        return all(map(crosses, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, Scalar | Unsupported)


@given(value=values)
def test_a_value_is_spoken_of_without_its_content(value):
    """The words name the kind, and the shape of an array, and hold nothing of what is inside."""
    words = spoken(value)
    assert words
    if isinstance(value, float):
        assert words == "a float"


def test_a_part_is_named_by_its_place():
    """The sentence says which part of the answer it is about."""
    with pytest.raises(Mismatch) as caught:
        conform([np.zeros(1), {"weight": 1.0}], parse_returns("(array, {array})"), "backward")
    assert str(caught.value) == "'weight' of part 2 of backward returned a float; a NumPy array is expected"


def test_tensors_conform_as_tensors_and_as_numbers():
    """A tensor is no array; a 0-d tensor serves as a number."""
    torch = pytest.importorskip("torch")
    assert conform(torch.ones(2), Atom("tensor"), "f").tolist() == [1.0, 1.0]
    assert conform(torch.tensor(2.0), Atom("scalar"), "f").item() == 2.0
    for tensor, name in [(torch.ones(2), "array"), (torch.ones(1), "scalar"), (torch.tensor(1), "int")]:
        with pytest.raises(Mismatch):
            conform(tensor, Atom(name), "f")
