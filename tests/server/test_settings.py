"""Settings: read once, from the environment or from files; wrong ones are named, and no secret is told."""

import re
from pathlib import Path

import pytest

from grader.errors import UsageError
from grader.server import settings
from grader.server.settings import Settings

DATABASE = "postgresql://grader:9d0c7f31@db/grader"
BROKER = "redis://:51b2aa0e@redis/0"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Set what a server needs, and nothing else."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"GRADER_{name.upper()}", raising=False)
        monkeypatch.delenv(f"GRADER_{name.upper()}_FILE", raising=False)
    monkeypatch.setenv("GRADER_DATABASE_URL", DATABASE)
    monkeypatch.setenv("GRADER_BROKER_URL", BROKER)
    return monkeypatch


def test_a_secret_may_be_in_a_file(environment, tmp_path):
    """The file's line is the address; a file that cannot be read is named."""
    (tmp_path / "url").write_text(DATABASE + "\n")
    environment.delenv("GRADER_DATABASE_URL")
    environment.setenv("GRADER_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert settings.read().database_url.get_secret_value() == DATABASE
    environment.setenv("GRADER_DATABASE_URL_FILE", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="GRADER_DATABASE_URL_FILE") as caught:
        settings.read()
    assert caught.value.code == "E1201"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("DATABASE_URL", "", "E1201"),
        ("BROKER_URL", "", "E1201"),
        ("DATABASE_URL", "postgresql://grader@db/grader", "E1202"),
        ("DATABASE_URL", "postgresql://grader:postgres@db/grader", "E1202"),
        ("DATABASE_URL", "postgresql://anna:anna@db/grader", "E1202"),
        ("DATABASE_URL", "postgresql://grader:change%2Dme@db/grader", "E1202"),
        ("DATABASE_URL", "postgresql://[", "E1201"),
        ("BROKER_URL", "redis://redis/0", "E1202"),
        ("BROKER_URL", "redis://:Redis@redis/0", "E1202"),
        ("IN_FLIGHT", "none", "E1201"),
        ("IN_FLIGHT", "0", "E1201"),
        ("THREADS", "1.5", "E1201"),
        ("UPLOAD_SECONDS", "-1", "E1201"),
    ],
)
def test_a_wrong_setting_is_named_and_not_told(environment, name, value, code):
    """The server does not start; the value may be a secret."""
    environment.setenv(f"GRADER_{name}", value)
    with pytest.raises(UsageError) as caught:
        settings.read()
    assert caught.value.code == code
    assert f"GRADER_{name}" in caught.value.what
    assert not value or value not in f"{caught.value.what} {caught.value.cause} {caught.value.hint}"


@pytest.mark.parametrize("url", ["postgresql:///grader?host=/run/postgresql", "postgresql+psycopg:///grader"])
def test_a_socket_of_this_machine_needs_no_password(environment, url):
    """Its permissions are the login."""
    environment.setenv("GRADER_DATABASE_URL", url)
    environment.setenv("GRADER_BROKER_URL", "redis+socket:///run/redis.sock")
    assert settings.read().database_url.get_secret_value() == url


def test_embedded_needs_nothing(environment):
    """Neither database nor broker."""
    environment.delenv("GRADER_DATABASE_URL")
    environment.delenv("GRADER_BROKER_URL")
    assert settings.read(embedded=True).embedded


def test_no_secret_is_printed():
    """Neither as text nor in a traceback."""
    assert "9d0c7f31" not in repr(settings.read())


def test_every_setting_says_what_it_is():
    """Each field has its line below it, for whoever runs a server."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert re.search(rf"^    {name}: .*\n    \"\"\"", source, re.MULTILINE), name
