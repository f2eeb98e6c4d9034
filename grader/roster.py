"""Rosters as schools hand them out: plain CSV, GitHub Classroom's roster, OneRoster's users.csv.

Every problem is told with its line and what to do; a line without one becomes a person. Nothing is guessed: a file
in an unknown encoding is refused, since a wrong guess spells names wrongly for good.
"""

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field

from grader.cells import neutral, plain
from grader.course import Person, Problem

LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
"""What may be the name of an account."""

MOST_BYTES = 8 * 2**20
MOST_LINES = 20_000
_MOST_TEXT = 200
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_GITHUB = {"identifier", "github_username"}
_ONEROSTER = {"sourcedid", "givenname", "familyname"}
_COLUMNS = {
    "login": ("login", "username", "user", "account", "sis login id", "user name"),
    "name": ("name", "full name", "student", "student name"),
    "given_name": ("given name", "given_name", "first name", "first_name", "firstname"),
    "family_name": ("family name", "family_name", "last name", "last_name", "lastname", "surname"),
    "identifier": ("identifier", "id", "student id", "student_id", "sid", "idnumber", "sis user id"),
    "email": ("email", "email address", "e-mail", "mail"),
    "cohort": ("cohort", "section", "group", "sections"),
}
"""The headings of a plain CSV that are understood, in small letters."""


@dataclass
class Roster:
    """The people of a file whose lines are right, by line, and what is wrong with the others."""

    form: str = "csv"
    people: dict[int, Person] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, line: int, what: str, hint: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(line, what, hint))


def read(content: bytes) -> Roster:
    """Read a roster; whatever the bytes are, the answer is people and problems, each with its line."""
    found = Roster()
    text = _decode(content, found)
    if text is None:
        return found
    rows = _rows(text, found)
    if not rows:
        if not found.problems:
            found.wrong(
                1, "the file is empty", "its first line names the columns, for example: login,name,email,cohort"
            )
        return found
    columns = _columns(rows[0][1], found)
    if columns is None:
        return found
    if len(rows) - 1 > MOST_LINES:
        found.wrong(MOST_LINES + 1, f"it has more than {MOST_LINES:,} lines", "split it by cohort")
        return found
    for line, cells in rows[1:]:
        _take(found, line, cells, rows[0][1], columns)
    _unique(found)
    if not found.people and not found.problems:
        found.wrong(1, "the file names nobody", "below the line of headings stands one line for each person")
    found.problems.sort(key=lambda problem: problem.line)
    return found


def _decode(content: bytes, found: Roster) -> str | None:
    if len(content) > MOST_BYTES:
        found.wrong(1, f"it is larger than {MOST_BYTES // 2**20} MiB", "a roster is a small file: is it the right one?")
        return None
    try:
        if content.startswith(_UTF16):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    hint = "save the file again as CSV in UTF-8 (Excel: `CSV UTF-8`; LibreOffice: character set Unicode (UTF-8))"
    if content.startswith(_UTF16):
        found.wrong(1, "it begins as UTF-16 and goes on as something else", hint)
        return None
    for number, line in enumerate(content.splitlines(), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            bad = line[error.start : error.start + 1].hex()
            found.wrong(number, f"it is not UTF-8: the byte 0x{bad} at position {error.start + 1}", hint)
    return None


def _rows(text: str, found: Roster) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, each with the number at which it begins."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(
        io.StringIO(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), newline=""), delimiter=delimiter, strict=True
    )
    rows, begun = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((begun, [plain(_clean(cell)) for cell in cells]))
            begun = reader.line_num + 1
    except csv.Error as error:
        found.wrong(begun, f"it is no CSV from here on: {error}", "look for a quote that is not closed")
    return rows


def _clean(cell: str) -> str:
    return unicodedata.normalize("NFC", cell.strip())


def _columns(headings: list[str], found: Roster) -> dict[str, int] | None:
    """Return where each field stands; None, with a problem, where one that is needed is missing or there twice."""
    names = [heading.casefold() for heading in headings]
    known = set(names)
    if known >= _ONEROSTER:
        found.form = "oneroster"
        chosen: dict[str, tuple[str, ...]] = {
            "login": ("username",),
            "given_name": ("givenname",),
            "family_name": ("familyname",),
            "identifier": ("identifier",),
            "email": ("email",),
            "status": ("status",),
            "enabled": ("enableduser",),
            "role": ("role",),
            "sourced_id": ("sourcedid",),
        }
    elif known >= _GITHUB:
        found.form = "github"
        chosen = {
            "login": ("github_username",),
            "identifier": ("identifier",),
            "name": ("name",),
            "email": ("email",),
            "cohort": ("group_name", "section"),
        }
    else:
        chosen = _COLUMNS
    columns = {}
    for name, headings_of in chosen.items():
        where = [place for place, heading in enumerate(names) if heading in headings_of]
        if len(where) > 1:
            both = " and ".join(repr(headings[place]) for place in where)
            found.wrong(1, f"more than one column gives the {name.replace('_', ' ')}: {both}", "remove all but one")
            return None
        if where:
            columns[name] = where[0]
    if "login" not in columns and "email" in columns and found.form == "csv":
        columns["login"] = columns["email"]
    if "login" not in columns:
        wanted = {"github": "github_username", "oneroster": "username"}.get(found.form, "login (or username, or email)")
        there = ", ".join(map(repr, headings[:20]))
        found.wrong(1, f"no column {wanted}: the headings are {there}", f"name the column of account names {wanted}")
        return None
    if found.form == "csv" and not columns.keys() & {"name", "given_name", "family_name"}:
        found.wrong(1, "no column name", "name the column of people's names `name`, or `given name` and `family name`")
        return None
    return columns


def _take(found: Roster, line: int, cells: list[str], headings: list[str], columns: dict[str, int]) -> None:
    """Make a person of a line, or problems."""
    if len(cells) != len(headings):
        found.wrong(
            line,
            f"it has {len(cells)} cells where the headings are {len(headings)}",
            "a name with a comma in it needs quotes",
        )
        return
    row = {name: cells[place] for name, place in columns.items()}
    if found.form == "oneroster" and not _is_student(row):
        return
    before = len(found.problems)
    for name, text in row.items():
        _check(found, line, name.replace("_", " "), text)
    login = row.get("login", "")
    if not login:
        joined = "the student has not joined the classroom yet: " if found.form == "github" else ""
        found.wrong(line, "the login is missing", f"{joined}fill it in")
    elif not LOGIN.fullmatch(login) and len(found.problems) == before:
        found.wrong(line, f"{login!r} cannot be a login", "logins have the letters a to z, digits, and . _ @ - within")
    given, family = row.get("given_name", ""), row.get("family_name", "")
    name = row.get("name", "") or " ".join(filter(None, (given, family)))
    if not name:
        if found.form == "github":
            name = row.get("identifier", "") or login  # that roster has names only where a student shows one
        else:
            found.wrong(line, "the name is missing", "fill it in")
    if len(found.problems) > before:
        return
    found.people[line] = Person(
        login=login,
        name=name,
        given_name=given,
        family_name=family,
        identifier=row.get("identifier", "") or row.get("sourced_id", ""),
        email=row.get("email", ""),
        cohort=row.get("cohort", ""),
    )


def _is_student(row: dict[str, str]) -> bool:
    if row.get("status", "").casefold() == "tobedeleted" or row.get("enabled", "").casefold() == "false":
        return False
    return row.get("role", "").casefold() in {"", "student"}


def _check(found: Roster, line: int, name: str, text: str) -> None:
    if neutral(text) != text:
        found.wrong(
            line,
            f"the {name} {text[:40]!r} would be a formula in a spreadsheet",
            f"take the {text.lstrip()[:1]!r} away from its beginning",
        )
    elif any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn"} for char in text.replace("\u200d", "")):
        found.wrong(line, f"the {name} {text[:40]!r} has characters that do not show", "type it anew")
    elif "\N{REPLACEMENT CHARACTER}" in text:
        found.wrong(line, f"the {name} {text[:40]!r} was damaged by a wrong encoding", "export the file again as UTF-8")
    elif len(text) > _MOST_TEXT:
        found.wrong(line, f"the {name} is longer than {_MOST_TEXT} characters", "shorten it")


def _unique(found: Roster) -> None:
    """Take out whoever shares a login, identifier or email with an earlier line."""
    for name in ("login", "identifier", "email"):
        first: dict[str, int] = {}
        for line, person in found.people.items():
            value = getattr(person, name)
            if value and (other := first.setdefault(value.casefold(), line)) != line:
                found.wrong(line, f"the {name} {value!r} stands in line {other} too", "keep one of the lines")
    for problem in found.problems:
        found.people.pop(problem.line, None)
