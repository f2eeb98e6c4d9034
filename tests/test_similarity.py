"""Similarity: what winnowing promises, and that copies stand out from right solutions of independent people."""

import ast
import io
import itertools
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import similarity
from grader.similarity import ENOUGH, RUN, WINDOW, Tokens, align, compare, runs, tokens, winnow

ROOT = Path(__file__).parent.parent
EXERCISES = sorted(path.name for path in (ROOT / "tests" / "solutions").iterdir())
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
KINDS = {tokenize.NAME: "name", tokenize.NUMBER: "number", tokenize.STRING: "string"}


def solutions(exercise):
    """Return independent right solutions by name."""
    return {path.stem: path.read_bytes() for path in sorted((ROOT / "tests" / "solutions" / exercise).glob("*.py"))}


def known(exercise):
    """Return starter and reference."""
    reference = ROOT / "reference" / f"{exercise.replace('-', '_')}.py"
    return [(ROOT / "exercises" / exercise / "starter.py").read_bytes(), reference.read_bytes()]


class Rename(ast.NodeTransformer):
    """Gives every name that a file binds, and that is not Python's own, another one."""

    def __init__(self, tree):
        """Find them."""
        bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        self.names = {name: f"renamed_{nth}" for nth, name in enumerate(sorted(bound - similarity._KEPT))}

    def visit_Name(self, node):
        """Rename a use or an assignment."""
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        """Rename a parameter."""
        node.arg = self.names.get(node.arg, node.arg)
        return self.generic_visit(node)


class Extract(ast.NodeTransformer):
    """Gives what is returned a name first."""

    def visit_Return(self, node):
        """Make two statements of one."""
        if node.value is None:
            return node
        name = ast.Name("outcome", ast.Store())
        return [ast.Assign([name], node.value, lineno=node.lineno), ast.Return(ast.Name("outcome", ast.Load()))]


def unparsed(source):
    """Return a file as Python would write it."""
    return ast.unparse(ast.parse(source)).encode()


def renamed(source):
    """Give names, numbers and strings others."""
    tree = ast.parse(source)
    text = ast.unparse(Rename(tree).visit(tree))
    return re.sub(r"\b\d+\.\d+\b", "7.25", text).encode()


def commented(source):
    """Put a comment after each line, blank lines between them, and another docstring in front."""
    return b'"""All my own work."""\n' + re.sub(rb"\n", b"  # mine\n\n", unparsed(source) + b"\n")


def reordered(source):
    """Turn the order of functions and classes round."""
    tree = ast.parse(source)
    moved = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    tree.body = [node for node in tree.body if node not in moved] + moved[::-1]
    return ast.unparse(tree).encode()


def extracted(source):
    """Assign what is returned to a variable, which is returned instead."""
    return ast.unparse(ast.fix_missing_locations(Extract().visit(ast.parse(source)))).encode()


def everything(source):
    """Do all of these."""
    return commented(extracted(reordered(renamed(source))))


# Tokens


@pytest.mark.parametrize("folder", ["grader", "exercises", "reference", "tests/solutions", "tests/attacks"])
def test_tokens_are_those_of_pythons_own_tokenizer(folder):
    """With their lines, in every file of ours that it can read."""
    read = 0
    for path in sorted((ROOT / folder).rglob("*.py")):
        source = path.read_bytes()[: similarity.MOST_BYTES]
        words: list[str] = []
        lines: list[int] = []
        begins = True
        try:
            for token in tokenize.tokenize(io.BytesIO(source).readline):
                if token.type in SILENT:
                    begins |= token.type in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
                elif not (token.type == tokenize.STRING and begins):
                    begins = False
                    words.append(similarity._alike(KINDS.get(token.type, "sign"), token.string, words))
                    lines.append(token.start[0])
        except (SyntaxError, tokenize.TokenError):
            continue
        found = tokens(source)
        assert (found.words, found.lines) == (words, lines), path
        read += 1
    assert read


@pytest.mark.parametrize("exercise", EXERCISES)
def test_names_numbers_comments_and_layout_do_not_count(exercise):
    """A file has the same tokens when they change."""
    for source in solutions(exercise).values():
        words = tokens(unparsed(source)).words
        assert tokens(renamed(source)).words == tokens(commented(source)).words == words
        assert tokens(unparsed(source).replace(b"\n", b"\r\n")).words == words


def test_a_broken_file_is_read_to_its_end():
    """Not only up to what Python cannot read: else a bracket would hide a copy."""
    source = solutions("softmax")["online"]
    for broken in (b"oops = (\n" + source, b"  \tx = $?\n" + source, "ö = '\n".encode("latin-1") + source):
        assert tokens(broken).words[-RUN * 3 :] == tokens(source).words[-RUN * 3 :]


def test_an_attribute_in_other_letters_is_the_same():
    """Python reads names by NFKC."""
    assert tokens("np.\N{MATHEMATICAL BOLD SMALL E}xp(x)".encode()).words == tokens(b"np.exp(y)").words


# Winnowing and blocks, against naive searches

WORDS = st.lists(st.sampled_from("abcd"), max_size=50)


def longest(first, second):
    """Return the length of the longest stretch that two lists share, by trying all."""
    best = 0
    for at, other in itertools.product(range(len(first)), range(len(second))):
        size = 0
        while at + size < len(first) and other + size < len(second) and first[at + size] == second[other + size]:
            size += 1
        best = max(best, size)
    return best


@given(before=WORDS, shared=WORDS, after=WORDS, other=WORDS)
def test_who_shares_enough_tokens_shares_a_fingerprint(before, shared, after, other):
    """The guarantee of winnowing, and its reverse: who shares fewer than RUN tokens shares none."""
    first, second = before + shared + after, other + shared
    common = longest(first, second)
    found = winnow(runs(first)) & winnow(runs(second))
    if common >= RUN + WINDOW - 1:
        assert found
    if common < RUN:
        assert not found


@given(before=WORDS, shared=WORDS, after=WORDS)
def test_what_is_left_out_hides_nothing_beside_it(before, shared, after):
    """WINDOW runs in sequence that count leave a fingerprint, whatever is left out around them."""
    left_out = set(runs(before))
    first = [each for each in runs(before + shared + after) if each not in left_out]
    second = [each for each in runs(shared) if each not in left_out]
    if longest(first, second) >= WINDOW:
        assert winnow(first) & winnow(second)


def plain(words):
    """Return a file with one token in each line."""
    return Tokens(list(words), list(range(1, len(words) + 1)), list(words))


@given(before=WORDS, shared=WORDS, after=WORDS, other=WORDS)
def test_blocks_are_shared_disjoint_and_begin_with_the_longest(before, shared, after, other):
    """Each is in both files; no token is in two; there is one wherever RUN tokens are shared."""
    first, second = before + shared + after, other + shared
    blocks = align(plain(first), plain(second))
    for block in blocks:
        assert [row.left for row in block.rows] == [row.right for row in block.rows]
        assert block.tokens == len(block.rows) >= RUN
        assert all(a.first + 1 == b.first and a.second + 1 == b.second for a, b in itertools.pairwise(block.rows))
    for side in ("first", "second"):
        lines = [getattr(row, side) for block in blocks for row in block.rows]
        assert len(lines) == len(set(lines))
    common = longest(first, second)
    assert bool(blocks) == (common >= RUN)
    if blocks and len(set(runs(second))) == len(runs(second)):
        assert max(block.tokens for block in blocks) == common


def test_a_table_of_numbers_is_one_block():
    """However often the same run stands in it."""
    table = f"table = [{', '.join(map(str, range(2000)))}]\n"
    (block,) = align(tokens(f"x = 1\n{table}".encode()), tokens(f"{table}\ny = (3, 4)\n".encode()))
    assert block.tokens == len(tokens(table.encode()).words)
    assert [(row.first, row.second) for row in block.rows] == [(2, 1)]


def test_blocks_show_the_lines_of_both():
    """What was moved is found where it went; a line beside three is shown beside the first of them."""
    function = "def f(a, b):\n    c = np.exp(a - b.max())\n    return c / c.sum(axis=0, keepdims=True)\n"
    other = "def g(x):\n    return [y for y in x if y]\n"
    longer = renamed(function.encode()).decode().replace("axis", "\n\t# mine\n\taxis").replace("keep", "\n    keep")
    blocks = align(tokens(f"{function}\n\n{other}".encode()), tokens(f"{other}\n{longer}".encode()))
    assert [[(row.first, row.second) for row in block.rows] for block in blocks] == [
        [(1, 4), (2, 5), (3, 6), (0, 8), (0, 9)],
        [(6, 1), (7, 2)],
    ]
    assert (blocks[0].rows[0].left, blocks[0].rows[3].right) == ("def f(a, b):", "    axis=0,")


# A class


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_disguised_copy_stands_out(exercise):
    """It and its original are the most similar pair, far above every pair of people who worked by themselves."""
    honest = solutions(exercise)
    for name, source in honest.items():
        for disguise in (renamed, reordered, commented, extracted, everything):
            found = compare({**honest, "copy": disguise(source)}, known(exercise))
            first = found.most[0]
            assert {*first.first, *first.second} == {name, "copy"}
            assert (first.as_similar, bool(first.blocks)) == (0, True)
            assert first.share > 3 * max((match.share for match in found.most[1:]), default=0.0)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_independent_solutions_do_not(exercise):
    """None shares a quarter of what is its own with another."""
    assert [match for match in compare(solutions(exercise), known(exercise)).most if match.share >= 0.25] == []


def test_shares_and_what_is_usual_are_those_of_all_pairs():
    """By comparing each file with each other."""
    files = {f"{exercise} {name}": source for exercise in EXERCISES for name, source in solutions(exercise).items()}
    files |= {
        "copy": files["adam sums"],
        "another": b"# mine\n\n" + files["adam sums"],
        "part": files["conv2d im2col"][:900],
    }
    given_ = known("adam")
    found = compare(files, given_, most=10_000)
    words = {name: tokens(source).words for name, source in files.items()}
    hashes = {name: runs(of) for name, of in words.items()}
    many = Counter(each for of in {tuple(of) for of in hashes.values()} for each in set(of))
    dropped = {each for source in given_ for each in runs(tokens(source).words)}
    dropped |= {each for each, number in many.items() if number > found.common}
    prints = {name: winnow([each for each in of if each not in dropped]) for name, of in hashes.items()}
    shares = {
        frozenset((a, b)): len(prints[a] & prints[b]) / max(8, min(len(prints[a]), len(prints[b])))
        for a, b in itertools.combinations(files, 2)
    }
    assert (found.files, found.pairs) == (len(files), len(shares))
    told: dict[frozenset[str], float] = {}
    for match in found.most:
        alike = len(match.first) == 1 and words[match.first[0]] == words[match.second[0]]
        assert match.others == len(shares) - (3 if alike else len(match.first) * len(match.second))
        assert match.as_similar <= match.others
        told |= {frozenset(pair): match.share for pair in itertools.product(match.first, match.second)}
        told |= {frozenset(pair): match.share for pair in itertools.combinations(match.second, 2) if alike}
    assert told == {pair: share for pair, share in shares.items() if share}
    ordered = sorted(shares.values())
    nearest = sorted(max(share for pair, share in shares.items() if name in pair) for name in files)
    assert found.usual is not None
    for values, part, value in (
        (ordered, 0.5, found.usual.pairs_50),
        (ordered, 0.95, found.usual.pairs_95),
        (ordered, 0.99, found.usual.pairs_99),
        (nearest, 0.5, found.usual.nearest_50),
        (nearest, 0.95, found.usual.nearest_95),
    ):
        assert sum(each <= value for each in values) >= part * len(values)
        assert sum(each < value for each in values) < part * len(values)


def test_of_few_files_nothing_is_said_to_be_usual():
    """Of so many, something is."""
    files = {f"user{nth}": f"x = {'+ y ' * nth}".encode() for nth in range(ENOUGH)}
    assert compare(dict(itertools.islice(files.items(), ENOUGH - 1))).usual is None
    assert compare(files).usual is not None


def test_the_starter_and_the_reference_say_nothing():
    """Two who hand the starter in, or found the same reference, share nothing of their own."""
    given_, reference = known("softmax")
    found = compare({"ada": given_, "bob": given_, "cyd": reference, "dan": reference}, [given_, reference])
    assert (found.files, found.pairs, found.most) == (4, 6, [])


def test_what_many_different_files_have_says_nothing():
    """Nobody is singled out by what is in each file of a class."""
    shared = solutions("softmax")["online"]
    assert compare({f"user{nth}": shared + f"x.own{nth}".encode() for nth in range(5)}).most == []


def test_files_alike_token_by_token_are_one_match():
    """However many they are: a solution that goes round is not taken for what everybody writes."""
    source = solutions("softmax")["online"]
    (match,) = compare({f"user{nth:02}": source for nth in range(30)}).most
    assert (match.first, len(match.second), match.share) == (["user00"], 29, 1.0)
    assert (match.others, match.as_similar) == (0, 0)


@given(source=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace"))))
def test_no_file_breaks_it(source):
    """Whatever was sent is compared; its lines are those that an editor counts."""
    found = compare({"ada": source, "bob": source, "cyd": source + b"\nx = 1\n"})
    assert all(0 < match.share <= 1 for match in found.most)
    read = tokens(source)
    assert len(read.words) == len(read.lines)
    assert all(1 <= line <= len(read.text) for line in read.lines)
