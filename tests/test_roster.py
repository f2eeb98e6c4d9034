"""Rosters: three forms are read, and every problem is told with its line and what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import roster
from grader.cells import neutral, write
from grader.course import Person
from grader.store import identity

GITHUB = """identifier,github_username,github_id,name
"Lovelace, Ada (i01)",ada-l,1001,Ada Lovelace
"Byte, Bob (i02)",bob-b,1002,
"""
ONEROSTER = """sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,\
middleName,identifier,email,sms,phone,agentSourcedIds,grades,password
u1,active,,true,org1,student,ada,,Ada,Lovelace,,S-1,ada@example.org,,,,,
u2,active,,true,org1,teacher,ines,,Ines,Lehr,,T-1,ines@example.org,,,,,
u3,tobedeleted,,true,org1,student,old,,Old,Gone,,S-3,,,,,,
u4,active,,false,org1,student,off,,Off,Switched,,S-4,,,,,,
u5,active,,true,org1,student,bob,,Bob,Byte,,,,,,,,
"""


def problems(content):
    """Return lines and texts of the problems of a roster."""
    return [(problem.line, problem.what) for problem in roster.read(content).problems]


def people(content):
    """Return the people of a roster without problems, by line."""
    found = roster.read(content)
    assert found.problems == []
    return found.people


def test_plain_csv():
    """Headings in any order, letters and delimiter; a BOM and UTF-16 are understood; blank lines are no lines."""
    text = "Email,Login,Full Name,Section,Student ID\r\nada@example.org,ada,Ada Lovelace,a,1\r\n\r\n,bob,Bob,,2\r\n"
    wanted = {
        2: Person(login="ada", name="Ada Lovelace", identifier="1", email="ada@example.org", cohort="a"),
        4: Person(login="bob", name="Bob", identifier="2"),
    }
    for content in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), text.replace(",", ";").encode()):
        assert people(content) == wanted


def test_the_email_is_the_login_where_there_is_no_other():
    """As where everybody logs in by it."""
    found = people(b"first name,last name,email\nAda,Lovelace,ada@example.org\n")
    assert found[2].login == found[2].email == "ada@example.org"
    assert (found[2].name, found[2].parts()) == ("Ada Lovelace", ("Ada", "Lovelace"))


def test_github_classroom():
    """Its user name is the login; who shows no name is called by the identifier."""
    found = roster.read(GITHUB.encode())
    assert (found.form, found.problems) == ("github", [])
    assert found.people == {
        2: Person(login="ada-l", name="Ada Lovelace", identifier="Lovelace, Ada (i01)"),
        3: Person(login="bob-b", name="Byte, Bob (i02)", identifier="Byte, Bob (i02)"),
    }
    told = problems(GITHUB.replace("bob-b", "").encode())
    assert told == [(3, "the login is missing")]


def test_oneroster():
    """Students alone, who are active and enabled."""
    found = roster.read(ONEROSTER.encode())
    assert (found.form, found.problems) == ("oneroster", [])
    assert [person.login for person in found.people.values()] == ["ada", "bob"]
    assert found.people[2].identifier == "S-1"
    assert found.people[6].identifier == "u5"


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", [(1, "the file is empty")]),
        (b"login,name\n", [(1, "the file names nobody")]),
        (b"who,what\nada,x\n", [(1, "no column login (or username, or email): the headings are 'who', 'what'")]),
        (b"login\nada\n", [(1, "no column name")]),
        (b"login,name,user\nada,Ada,ada\n", [(1, "more than one column gives the login: 'login' and 'user'")]),
        (b"login,name\nada,Ada,too many\n", [(2, "it has 3 cells where the headings are 2")]),
        (b"login,name\n,Ada\nbob,\n", [(2, "the login is missing"), (3, "the name is missing")]),
        (b"login,name\na b,Ada\n", [(2, "'a b' cannot be a login")]),
        (b"login,name\nada,=1+1\n", [(2, "the name '=1+1' would be a formula in a spreadsheet")]),
        (b"login,name\n-bob,Bob\n", [(2, "the login '-bob' would be a formula in a spreadsheet")]),
        ("login,name\nada,＠sum\n".encode(), [(2, "the name '＠sum' would be a formula in a spreadsheet")]),  # noqa: RUF001
        ("login,name\nada,A\u202eda\n".encode(), [(2, "the name 'A\\u202eda' has characters that do not show")]),
        ("login,name\nada,Zo\ufffd\n".encode(), [(2, "the name 'Zo\ufffd' was damaged by a wrong encoding")]),
        (b"login,name\nada,A\nbob,B\nADA,C\n", [(4, "the login 'ADA' stands in line 2 too")]),
        (b"login,name,id\nada,A,1\nbob,B,1\n", [(3, "the identifier '1' stands in line 2 too")]),
        (b"login,name,email\nada,A,x@y\nbob,B,X@Y\n", [(3, "the email 'X@Y' stands in line 2 too")]),
        ("login,name\nada,Ada\nzoe,Zoë\n".encode("latin-1"), [(3, "it is not UTF-8: the byte 0xeb at position 7")]),
        (b'login,name\nada,"Ada\nbob,Bob\n', [(2, "it is no CSV from here on: unexpected end of data")]),
        (b"login,name\nada," + b"A" * 300 + b"\n", [(2, "the name is longer than 200 characters")]),
        (b"PK\x03\x04\x14\x00\x06\x00\xff\xff", [(1, "it is not UTF-8: the byte 0xff at position 9")]),
    ],
)  # fmt: skip
def test_every_problem_is_told_with_its_line(content, wanted):
    """What is wrong, where; and each says what to do."""
    assert problems(content) == wanted
    assert all(problem.hint for problem in roster.read(content).problems)


def test_a_name_over_two_lines_keeps_the_count():
    """Lines are those of the file, as an editor shows them."""
    told = problems(b'login,name,note\nada,Ada,"two\nlines"\nbob,=B,\n')
    assert told == [(4, "the name '=B' would be a formula in a spreadsheet")]


def test_lines_without_a_problem_are_there():
    """So that they can be imported alone."""
    assert list(roster.read(b"login,name\nada,Ada\nbob,=B\n").people) == [2]


@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
)
def test_no_file_breaks_the_reader(content):
    """Any bytes are people or problems, and those whom they name are safe to write."""
    found = roster.read(content)
    assert found.people or found.problems or found.form == "oneroster"
    for person in found.people.values():
        assert neutral(person.name) == person.name


NAME = st.text(st.characters(categories=["L", "N", "Zs", "Po"]), min_size=1, max_size=20).map(str.strip)


@given(names=st.lists(NAME.filter(lambda name: name and neutral(name) == name), min_size=1, max_size=6))
def test_a_roster_that_we_write_is_read_again(names):
    """Commas, quotes and letters of any alphabet within."""
    import unicodedata

    rows = [("login", "name"), *((f"user{n}", name) for n, name in enumerate(names))]
    found = people(write(rows).encode())
    assert [person.name for person in found.values()] == [unicodedata.normalize("NFC", name) for name in names]


def test_a_login_is_what_an_account_may_be_called():
    """The roster needs no server's packages to know it."""
    assert roster.LOGIN.pattern == identity.NAME.pattern
