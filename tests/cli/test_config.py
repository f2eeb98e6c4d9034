"""Settings: environment over the folder's file over the user's; a bad one is told by name."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grader import config, logins
from grader.errors import OurFault, UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder below one that may hold settings, with a user's configuration elsewhere."""
    for name in config.SETTINGS.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "user" / "grader").mkdir(parents=True)
    (tmp_path / "course" / "week").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "course" / "week")
    return tmp_path


def test_without_settings_the_platform_and_the_account_decide(folder):
    """Home lies in the platform's data folder, and the learner has a name."""
    settings = config.read()
    assert settings.home == folder / "data" / "grader"
    assert settings.learner


def test_nearer_settings_win(folder, monkeypatch):
    """User's file, then the nearest folder's, then the environment: each covers the one before."""
    (folder / "user" / "grader" / "config.toml").write_text('home = "/one"\nlearner = "ada"\n')
    assert config.read() == config.Config(home=Path("/one"), learner="ada")
    (folder / "course" / ".grader.toml").write_text('home = "/two"\n')
    assert config.read() == config.Config(home=Path("/two"), learner="ada")
    monkeypatch.setenv("GRADER_HOME", "/three")
    assert config.read().home == Path("/three")


def test_the_nearest_server_counts(folder, monkeypatch):
    """The last login, the user's file, the folder's, the environment, the flag; `none` means this machine."""
    assert config.server() is None
    logins.write(logins.Logins().with_login("https://one", logins.Login("grt_1", "main/ada")))
    assert config.server() == config.Server("https://one")
    (folder / "user" / "grader" / "config.toml").write_text('server = "two"\n')
    assert config.server() == config.Server("https://two")
    (folder / "course" / ".grader.toml").write_text('server = "http://Three:8000/at/"\n')
    assert config.server() == config.Server("http://three:8000/at", from_folder=True)
    monkeypatch.setenv("GRADER_SERVER", "https://four")
    assert config.server() == config.Server("https://four")
    assert config.server("https://five/") == config.Server("https://five")
    assert config.server("none") is None


@pytest.mark.parametrize("text", ["home = ", "home = 3", 'colour = "red"', "\udcff"])
def test_a_bad_file_is_named(folder, text):
    """No TOML, no text, or no such setting: the cause starts with the file."""
    path = folder / "course" / ".grader.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        config.read()
    assert caught.value.code == "E2110"
    assert caught.value.cause.startswith(str(path))


def test_a_home_that_is_a_file_is_refused(folder, monkeypatch):
    """The error names the variable, so that a person knows what to change."""
    (folder / "file").touch()
    monkeypatch.setenv("GRADER_HOME", str(folder / "file"))
    with pytest.raises(UsageError) as caught:
        config.read()
    assert caught.value.code == "E2111"
    assert "GRADER_HOME" in caught.value.cause


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x1b[0m"])
def test_a_learner_must_be_a_printable_name(monkeypatch, name):
    """What is stored and printed with every submission is short and harmless."""
    monkeypatch.setenv("GRADER_LEARNER", name)
    with pytest.raises(UsageError) as caught:
        config.read()
    assert caught.value.code == "E2112"


@pytest.mark.parametrize(("text", "number"), [("", 3), ("0", 0), ("64", 64)])
def test_standbys_are_a_small_number(monkeypatch, text, number):
    """None at all is one."""
    monkeypatch.setenv("GRADER_STANDBYS", text)
    assert config.read().standbys == number


@pytest.mark.parametrize("text", ["65", "-1", "2.5", "many", "\u0663", "100"])
def test_other_numbers_of_standbys_are_refused(monkeypatch, text):
    """The error names the variable."""
    monkeypatch.setenv("GRADER_STANDBYS", text)
    with pytest.raises(UsageError) as caught:
        config.read()
    assert caught.value.code == "E2128"
    assert "GRADER_STANDBYS" in caught.value.cause


def test_every_setting_is_documented():
    """Each name and its variable stand in the module's first lines, and GRADER_HOME in the README."""
    assert config.__doc__ is not None
    for name, variable in config.SETTINGS.items():
        assert name in config.__doc__
        assert variable in config.__doc__


def test_the_secret_is_made_once_and_kept_for_the_owner_alone(folder):
    """Many threads that ask at once for the key of the random inputs get the same one; nobody else may read it."""
    settings = config.Config(home=folder / "home", learner="ada")
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: settings.secret(), range(8)))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 32
    assert (settings.home / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["secret"]


def test_a_home_that_keeps_no_secret_is_told(folder):
    """Where the home cannot hold the key, the error names the place and the remedy."""
    (folder / "file").write_text("in the way")
    with pytest.raises(OurFault, match="key of the random inputs") as caught:
        config.Config(home=folder / "file", learner="ada").secret()
    assert str(folder / "file") in caught.value.cause
