"""Which submissions for an exercise share code that others lack, for a person to look at: never a verdict.

Files are compared by fingerprints that winnowing chooses (Schleimer, Wilkerson and Aiken, SIGMOD 2003) from runs of
tokens in which names are all alike, and so are numbers and strings: names, comments, docstrings, layout and the order
of functions do not count. What stands in starter or reference, or in the files of many, is left out first.

A short exercise has few honest solutions, so a share alone says little. It comes with the shares of all pairs of the
class, nearly all of which are of people who worked by themselves, and, since some pair of any class is the most
similar, with how similar everybody's nearest is. Of a small class nothing is said to be usual.
"""

import builtins
import heapq
import itertools
import keyword
import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from hashlib import blake2b

import msgspec

RUN = 10
"""Tokens in a fingerprint: what is shorter is an idiom."""

WINDOW = 4
"""Of so many neighbouring runs one is kept: who shares RUN + WINDOW - 1 tokens that count shares a fingerprint."""

ENOUGH = 20
"""Files from which on it is said what is usual."""

MOST_BYTES = 2**15
"""Of a longer file the beginning is compared."""

_FEW = 8
"""A file with fewer fingerprints is too short for a share of them to mean much: the share is of so many."""

_PLACES = 8
"""Places of a second file at which a run of the first is looked for: tables of numbers repeat one run endlessly."""

_MOST_LETTERS = 200

_TOKEN = re.compile(
    r"""
    (?P<silent> [^\S\n]+ | \\\n | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<string> (?i:rb|br|fr|rf|[rbfu])? (?:
        \"{3} (?:[^"\\] | \\. | "(?!""))* (?:\"{3})? | '{3} (?:[^'\\] | \\. | '(?!''))* (?:'{3})?
      | " (?:[^"\\\n] | \\.)* "? | ' (?:[^'\\\n] | \\.)* '? ) )
  | (?P<name> [^\W\d]\w* )
  | (?P<number> 0[xX][\da-fA-F_]+ | 0[bB][01_]+ | 0[oO][0-7_]+
      | (?: \d[\d_]*\.?[\d_]* | \.\d[\d_]* ) (?:[eE][-+]?\d[\d_]*)? [jJ]? )
  | (?P<sign> \*\*= | //= | >>= | <<= | \.\.\. | [-+*/%@&|^=!<>:]= | -> | \*\* | // | << | >> | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_DEPTH = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_SILENT = {"silent", "newline"}
_SPANS = _SILENT | {"string"}
_KEPT = frozenset(keyword.kwlist) | frozenset(dir(builtins))


class Tokens(msgspec.Struct, frozen=True):
    """The tokens of a file as they are compared, the line of each from 1, and the text of all lines."""

    words: list[str]
    lines: list[int]
    text: list[str]


class Row(msgspec.Struct, frozen=True):
    """A line of the first file beside one of the second; 0 where a side has no further line."""

    first: int
    left: str
    second: int
    right: str


class Block(msgspec.Struct, frozen=True):
    """A run of tokens that two files share, and the lines it stands in."""

    tokens: int
    rows: list[Row]


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Learners whose files share what others lack; those on one side have files that are alike token by token.

    `share` is `shared` by the fingerprints of the file that has fewer (by 8 where it has fewer still). Of
    `others` pairs of the class `as_similar` have a share that is no less. Blocks are of the first file of each side.
    """

    first: list[str]
    second: list[str]
    shared: int
    share: float
    others: int
    as_similar: int
    blocks: list[Block]


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """Shares that half, 95 or 99 of 100 do not exceed: of all pairs, and of everybody with their nearest."""

    pairs_50: float
    pairs_95: float
    pairs_99: float
    nearest_50: float
    nearest_95: float


class Similarity(msgspec.Struct, frozen=True, kw_only=True):
    """The most similar files of an exercise, and what is usual there, where there are enough files to tell.

    What more than `common` different files share was left out.
    """

    files: int
    pairs: int
    common: int
    usual: Usual | None
    most: list[Match]


def tokens(source: bytes) -> Tokens:
    """Return the tokens of a file, without comments and docstrings; any bytes have some.

    Python's own tokenizer stops where a file is broken; elsewhere it finds the same.
    """
    text = source[:MOST_BYTES].decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    words: list[str] = []
    lines: list[int] = []
    line, depth, begins = 1, 0, True
    for found in _TOKEN.finditer(text):
        kind, word = found.lastgroup, found[0]
        if kind == "newline":
            begins |= depth == 0
        elif kind == "sign":
            depth = max(0, depth + _DEPTH.get(word, 0))
        if kind not in _SILENT and not (kind == "string" and begins):  # a string alone is a docstring
            begins = False
            words.append(_alike(str(kind), word, words))
            lines.append(line)
        if kind in _SPANS:
            line += word.count("\n")
    return Tokens(words, lines, text.split("\n"))


def _alike(kind: str, word: str, before: Sequence[str]) -> str:
    if kind == "sign":
        return word
    if kind != "name":
        return kind
    # Nobody can rename what is Python's, or an attribute of NumPy or PyTorch.
    attribute = bool(before) and before[-1] == "."
    if not word.isascii():
        word = unicodedata.normalize("NFKC", word)  # as Python reads names
    return word if attribute or word in _KEPT else "name"


@lru_cache(2**16)
def _number(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=7).digest())


def runs(words: Sequence[str]) -> Sequence[int]:
    """Return a hash of 64 bits of each run of RUN tokens, by its place; tuples of integers have no seed."""
    numbers = list(map(_number, words))
    return array("q", map(hash, zip(*(numbers[begin:] for begin in range(RUN)), strict=False)))


def winnow(hashes: Sequence[int]) -> set[int]:
    """Return the least of each window of hashes."""
    if len(hashes) < WINDOW:
        return {min(hashes)} if hashes else set()
    return set(map(min, zip(*(hashes[begin:] for begin in range(WINDOW)), strict=False)))


def _nothing(_: str) -> None:
    """Tell nobody."""


def compare(
    files: Mapping[str, bytes], known: Sequence[bytes] = (), *, most: int = 20, tell: Callable[[str], None] = _nothing
) -> Similarity:
    """Compare the files of learners with each other, less what stands in those that are `known`: starter, reference."""
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for nth, (name, source) in enumerate(files.items(), 1):
        tell(f"file {nth} of {len(files)}")
        groups[tuple(tokens(source).words)].append(name)
    tell("comparing")
    who = list(groups.values())
    hashes = [runs(words) for words in groups]
    common = max(3, min(50, len(who) // 5))
    left_out = {each for source in known for each in runs(tokens(source).words)}
    left_out |= {each for each, many in Counter(itertools.chain(*map(set, hashes))).items() if many > common}
    # Before winnowing, not after: or what is left out would hide its neighbours in a window.
    prints = [winnow([each for each in of if each not in left_out]) for of in hashes]
    shared = _shared(prints, who)
    shares = {pair: number / max(_FEW, min(len(prints[each]) for each in pair)) for pair, number in shared.items()}
    sizes = {(a, b): len(who[a]) * (len(who[a]) - 1) // 2 if a == b else len(who[a]) * len(who[b]) for a, b in shares}
    pairs = len(files) * (len(files) - 1) // 2
    spread: Counter[float] = Counter({0.0: pairs - sum(sizes.values())})  # most pairs share nothing
    nearest = [0.0] * len(who)
    for pair, share in shares.items():
        spread[share] += sizes[pair]
        for each in pair:
            nearest[each] = max(nearest[each], share)
    leading = heapq.nsmallest(most, shares, key=lambda pair: (-shares[pair], who[pair[0]], who[pair[1]]))
    return Similarity(
        files=len(files),
        pairs=pairs,
        common=common,
        usual=_usual(spread, nearest, who) if len(files) >= ENOUGH else None,
        most=[
            Match(
                first=who[a][:1] if a == b else who[a],
                second=who[a][1:] if a == b else who[b],
                shared=shared[a, b],
                share=shares[a, b],
                others=pairs - sizes[a, b],
                as_similar=sum(many for share, many in spread.items() if share >= shares[a, b]) - sizes[a, b],
                blocks=align(tokens(files[who[a][0]]), tokens(files[who[b][a == b]]), left_out),
            )
            for a, b in leading
        ],
    )


def _shared(prints: Sequence[set[int]], who: Sequence[list[str]]) -> Counter[tuple[int, int]]:
    """Return how many fingerprints two groups of files have in common; a group of several with itself, all."""
    owners: defaultdict[int, list[int]] = defaultdict(list)
    for nth, of in enumerate(prints):
        for each in of:
            owners[each].append(nth)
    shared = Counter(itertools.chain.from_iterable(itertools.combinations(group, 2) for group in owners.values()))
    shared.update({(nth, nth): len(of) for nth, of in enumerate(prints) if of and len(who[nth]) > 1})
    return shared


def _usual(spread: Counter[float], nearest: Sequence[float], who: Sequence[list[str]]) -> Usual:
    of_all: Counter[float] = Counter()
    for share, group in zip(nearest, who, strict=True):
        of_all[share] += len(group)
    return Usual(
        pairs_50=quantile(spread, 0.5),
        pairs_95=quantile(spread, 0.95),
        pairs_99=quantile(spread, 0.99),
        nearest_50=quantile(of_all, 0.5),
        nearest_95=quantile(of_all, 0.95),
    )


def quantile(counts: Counter[float], part: float) -> float:
    """Return the least value that so large a part of all does not exceed."""
    needed, so_far = part * counts.total(), 0
    for value, many in sorted(counts.items()):
        so_far += many
        if so_far >= needed:
            return value
    return 0.0


def align(first: Tokens, second: Tokens, left_out: AbstractSet[int] = frozenset()) -> list[Block]:
    """Return what two files share, as runs of tokens in the order of the first; no token is in two of them.

    The longest is taken first, as in greedy string tiling (Wise, 1993); none is shorter than RUN.
    """
    ours, theirs = runs(first.words), runs(second.words)
    free = [True] * len(first.words), [True] * len(second.words)
    heap = [(-length, begin, other) for begin, other, length in _diagonals(ours, theirs, left_out)]
    heapq.heapify(heap)
    taken: list[tuple[int, int, int]] = []
    while heap:
        negative, begin, other = heapq.heappop(heap)
        rest = list(_free(free, begin, other, -negative))
        if rest != [(begin, other, -negative)]:
            for at, beside, length in rest:
                heapq.heappush(heap, (-length, at, beside))
            continue
        size = -negative
        for one, two in zip(ours[begin + size - RUN + 1 :], theirs[other + size - RUN + 1 :], strict=False):
            if one != two or one in left_out or not (free[0][begin + size] and free[1][other + size]):
                break
            size += 1  # where a run stands in more places than were looked at
        taken.append((begin, other, size))
        for side, at in zip(free, (begin, other), strict=True):
            side[at : at + size] = [False] * size
    return [_block(first, second, *each) for each in sorted(taken)]


def _diagonals(
    ours: Sequence[int], theirs: Sequence[int], left_out: AbstractSet[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield where in each file begins what both share and is not left out, and how many tokens it has."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for at, each in enumerate(theirs):
        if each not in left_out and len(places[each]) < _PLACES:
            places[each].append(at)
    along: defaultdict[int, list[int]] = defaultdict(list)
    for at, each in enumerate(ours):
        for other in places.get(each, ()):
            along[at - other].append(at)
    for shift, found in along.items():
        begin = last = found[0]
        for at in [*found[1:], len(ours) + RUN + 1]:
            if at > last + RUN:
                yield begin, begin - shift, last + RUN - begin
                begin = at
            last = at


def _free(free: tuple[list[bool], list[bool]], begin: int, other: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield the parts of a run that are in no other yet and are long enough."""
    both = (free[0][begin + n] and free[1][other + n] for n in range(length))
    at = 0
    for is_free, part in itertools.groupby(both):
        size = len(list(part))
        if is_free and size >= RUN:
            yield begin + at, other + at, size
        at += size


def _block(first: Tokens, second: Tokens, begin: int, other: int, length: int) -> Block:
    beside = zip(first.lines[begin : begin + length], second.lines[other : other + length], strict=True)
    rows: list[Row] = []
    left = right = 0
    for one, two in dict.fromkeys(beside):
        rows.append(
            Row(
                one if one > left else 0,
                _line(first, one) if one > left else "",
                two if two > right else 0,
                _line(second, two) if two > right else "",
            )
        )
        left, right = one, two
    return Block(length, rows)


def _line(found: Tokens, number: int) -> str:
    text = found.text[number - 1].rstrip().expandtabs(4)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "..."
