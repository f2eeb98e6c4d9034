"""The images of the engine docker: what is in them, what is not, and what goes wrong while they are built."""

import ast
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import docker as sdk
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from grader.engine import MODULES
from grader.errors import OurFault
from grader.explain import CATALOGUE
from worker import build

ROOT = Path(__file__).parents[2]
LINE = 34
"""Letters of a line that nobody writes twice by chance."""
EXECUTABLE = {"python3.11", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
RUNS = {
    "numpy": "import numpy; print(numpy.linalg.inv(numpy.eye(3) * 2).sum())",
    "torch": """import numpy, torch
x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
(torch.nn.functional.softmax(x, 1) * x.detach().cumsum(1) @ x.T).sum().backward()
torch.autograd.gradcheck(torch.tanh, x)
assert torch.jit.trace(torch.nn.Linear(3, 2), torch.ones(1, 3))(torch.ones(4, 3)).shape == (4, 2)
open('/tmp/script.py', 'w').write('import torch\\n@torch.jit.script\\ndef f(x: torch.Tensor):\\n  return 2 * x\\n')
sys.path.append('/tmp'); import script
import torch.func, torch.testing, torch.utils.checkpoint, torch.utils._python_dispatch
print(torch.from_numpy(numpy.ones(3)).sum().item() / script.f(torch.ones(())).item())""",
}


@pytest.fixture
def client():
    """Return a client of the real daemon."""
    client = sdk.from_env()
    yield client
    client.close()


def files(client, image):
    """Yield every member of an image with its content, those of small archives too."""
    container = client.api.create_container(image)["Id"]
    try:
        chunks: Any = Stream(client.api.export(container))
        with tarfile.open(fileobj=chunks, mode="r|") as stream:
            for member in stream:
                opened = stream.extractfile(member) if member.isfile() else None
                content = opened.read() if opened else b""
                yield member, content
                if content.startswith(b"PK"):
                    with zipfile.ZipFile(io.BytesIO(content)) as archive:
                        for name in archive.namelist():
                            yield tarfile.TarInfo(f"{member.name}/{name}"), archive.read(name)
    finally:
        client.api.remove_container(container)


class Stream:
    """Chunks as a file."""

    def __init__(self, chunks):
        """Begin with the first."""
        self.chunks, self.rest = iter(chunks), b""

    def read(self, size):
        """Return so many bytes, fewer at the end alone."""
        parts = [self.rest]
        while sum(map(len, parts)) < size and (chunk := next(self.chunks, b"")):
            parts.append(chunk)
        whole = b"".join(parts)
        self.rest = whole[size:]
        return whole[:size]


def held(content, forbidden):
    """Return which of these begin a line in a file, be it text or not: bytes before a compiled text may be letters."""
    runs = (match[0].strip(b" \"'") for match in re.finditer(rb"[ -~]{%d,}" % LINE, content))  # never all: 400 MB
    return {begun for run in runs for start in range(3) if (begun := run[start : start + LINE]) in forbidden}


def ours():
    """Return how the lines of exercises and references begin, and the first lines of the grader's own modules."""
    paths = [*ROOT.glob("exercises/**/*"), *ROOT.glob("reference/*.py")]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.suffix in {".py", ".md", ".toml"}]
    modules = set(ROOT.glob("grader/**/*.py")) - {build.HARNESS}
    texts += [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in modules]
    begun = {line.strip(" \"'")[:LINE] for text in texts for line in text.splitlines()}
    return {line.encode() for line in begun if len(line) == LINE and not line.startswith(("from ", "import "))}


def secrets():
    """Return what only this machine's owner may know: folders, indexes, proxies, credentials, if it has any."""
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = {str(ROOT), sys.prefix, str(build.wheelhouse()), *build._proxies().values()}
    found |= set(re.findall(r"[^\s']+", " ".join(re.findall(r"(?:index-url|find-links|proxy)='(.*)'", configured))))
    found |= {value for name, value in os.environ.items() if re.search(r"proxy|token|password", name, re.IGNORECASE)}
    return {each.encode() for each in found | {socket.gethostname()} if len(each) >= 8}


@pytest.mark.parametrize("kind", build.KINDS)
def test_an_image_runs_its_libraries(client, sandbox_images, kind):
    """As somebody without a name, on a read-only root, without a network, by the command line of every engine."""
    code = f"import sys; sys.path.append('/sandbox/lib'); {RUNS[kind]}"
    said = client.containers.run(
        sandbox_images[kind],
        ["python3", "-I", "-S", "-B", "-c", code],
        user="61234:61234",
        network_mode="none",
        read_only=True,
        init=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": "size=8m,mode=1777"},
        remove=True,
    )
    assert said.strip() == b"1.5"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", build.KINDS)
def test_an_image_holds_no_exercise_and_nothing_of_its_builder(client, sandbox_images, kind):
    """Every file of it is read. Nothing is setuid or writable, and only Python and the loader can be executed."""
    forbidden, private, harness = ours(), secrets(), build.HARNESS.read_bytes()
    assert len(forbidden) > 1000
    own = set()
    for member, content in files(client, sandbox_images[kind]):
        place = Path("/", member.name)
        assert not held(content, forbidden), place
        assert not [secret for secret in private if secret in content], place
        assert not {"pip", "ensurepip", "setuptools", "grader", "worker", "exercises", "reference"} & set(
            place.parts[:5]
        ), place
        if member.issym():
            continue
        assert (member.uid, member.gid) == (0, 0), place
        assert not member.mode & 0o7022, place
        assert member.isfile() or member.isdir(), place
        if member.isfile() and member.mode & 0o111 and member.size:
            own.add(place.name)
        if place.parts[1] == "sandbox" and len(place.parts) == 3:
            assert place.name in {"lib", "harness.py"}
            assert member.isdir() or content == harness
    assert len(own) == 2
    assert own < EXECUTABLE


@pytest.mark.parametrize("form", ["py", "pyc", "zip"])
def test_the_search_finds_what_it_looks_for(client, tmp_path, form):
    """A hidden test in an image is found as source, compiled, and in an archive."""
    source = next(ROOT.glob("exercises/softmax/hidden_tests.py"))
    hidden = tmp_path / "x"
    if form == "zip":
        with zipfile.ZipFile(hidden, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source)
    elif form == "pyc":
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2])",
                source,
                hidden,
            ],
            check=True,
        )
    else:
        shutil.copy(source, hidden)
    tag = f"grader-test:{form}-{os.getpid()}"
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(hidden, "x")
    client.api.import_image_from_file(str(tmp_path / "x.tar"), *tag.split(":"), changes="CMD /x")
    try:
        forbidden = ours()
        assert any(held(content, forbidden) for _, content in files(client, tag))
    finally:
        client.images.remove(tag)


@pytest.mark.parametrize("kind", build.KINDS)
def test_labels_say_what_it_was_built_from(client, sandbox_images, kind):
    """The version, the kind and the base's digest; the history and the environment tell nothing of the builder."""
    image = client.images.get(sandbox_images[kind])
    assert image.labels["grader.sandbox.kind"] == kind
    assert image.labels["grader.sandbox.version"] == build.version(kind) == sandbox_images[kind][-12:]
    assert image.labels["org.opencontainers.image.version"] == build.version(kind)
    assert re.search(r"sha256:[0-9a-f]{64}$", image.labels["grader.sandbox.base"])
    assert image.attrs["Config"]["Env"] == ["PATH=/usr/local/bin:/usr/bin"]
    assert image.attrs["Config"]["User"] == "65534:65534"
    said = json.dumps([image.history(), image.attrs["Config"]]).encode()
    assert not [secret for secret in secrets() if secret in said]


def test_no_image_of_the_first_stage_is_left(client, sandbox_images):
    """What a build threw away does not stay on the daemon's disk under another name."""
    assert client.images.list(all=True, filters={"label": "grader.sandbox.stage=assembly"}) == []


def command(*arguments, **environment):
    """Run `grader sandbox build` and return its exit code and what it tells."""
    ran = subprocess.run(
        [sys.executable, "-m", "grader", "sandbox", "build", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == ""
    return ran.returncode, ran.stderr


def test_an_image_that_is_there_is_not_built_again(sandbox_images):
    """The command says so, and nothing at all with --quiet."""
    assert command("numpy") == (0, f"{sandbox_images['numpy']} is there already\n")
    assert command("numpy", "--quiet") == (0, "")


@pytest.mark.parametrize("kind", build.KINDS)
def test_the_lock_agrees_with_the_constraints(kind):
    """Every library has the version that the judge has, and a submission may import it."""
    pins = set(re.sub("(?m)^#.*\n", "", (ROOT / "constraints.txt").read_text()).split())
    text = (build.IMAGES / f"{kind}.lock").read_text()
    wanted = build.requirements(build.IMAGES / f"{kind}.lock")
    assert wanted.keys() <= pins
    assert len(re.findall("(?m)^[^#\\s]", text)) == len(wanted), "a line was not understood"
    assert sum(map(len, wanted.values())) == text.count("sha256:")
    names = {canonicalize_name(name.partition("==")[0]).replace("-", "_") for name in wanted}
    assert names <= set(MODULES[kind])


def test_the_lock_has_all_that_torch_needs():
    """What torch requires, and what that requires; not setuptools, which it does not import."""
    found, waiting = set(), ["numpy", "torch"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for requirement in map(Requirement, metadata.requires(name) or []):
            needed = canonicalize_name(requirement.name)
            if (requirement.marker is None or requirement.marker.evaluate({"extra": ""})) and needed not in found:
                waiting.append(needed)
    locked = build.requirements(build.IMAGES / "torch.lock")
    assert {canonicalize_name(name.partition("==")[0]) for name in locked} == found - {"setuptools"}


@pytest.mark.parametrize("changed", ["Dockerfile", "assemble.py", "numpy.lock", "harness.py"])
def test_the_version_changes_with_every_input(tmp_path, monkeypatch, changed):
    """12 digits, the same for the same files, others for others."""
    shutil.copytree(build.IMAGES, tmp_path / "images")
    shutil.copy(build.HARNESS, tmp_path / "images")
    before = build.version("numpy")
    assert re.fullmatch("[0-9a-f]{12}", before)
    monkeypatch.setattr(build, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(build, "HARNESS", tmp_path / "images/harness.py")
    assert build.version("numpy") == before
    with (tmp_path / "images" / changed).open("a") as file:
        file.write("\n")
    assert build.version("numpy") != before
    assert build.version("numpy") != build.version("torch")


def test_names_cost_no_import(child):
    """Asking for an image's name loads neither the SDK nor the command line."""
    code = (
        "import sys; from worker import build; build.image_name('torch'); print({'docker', 'typer'} & {*sys.modules})"
    )
    assert child(code).communicate()[0] == "set()\n"


def test_a_wheel_with_another_hash_is_refused(tmp_path):
    """The real pip, a lock file whose hash was changed: an error that names both, and nothing is kept."""
    lock = tmp_path / "x.lock"
    lock.write_text(f"typing_extensions==4.16.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(OurFault, match="cannot be fetched") as caught:
        build.fetch(lock, tmp_path / "wheels")
    assert caught.value.code == "E4115"
    assert "0" * 64 in caught.value.cause
    assert "other bytes" in caught.value.hint
    assert list((tmp_path / "wheels").iterdir()) == []


def test_a_damaged_wheel_is_fetched_again(tmp_path, monkeypatch):
    """What is kept between builds is believed by its hash alone; whole, it needs no pip."""
    name = "typing_extensions==4.16.0"
    hashes = build.requirements(build.IMAGES / "torch.lock")[name]
    lock = tmp_path / "x.lock"
    lock.write_text(f"{name} \\\n    --hash=sha256:{next(iter(hashes))}\n")
    (wheel,) = build.fetch(lock, tmp_path / "wheels")
    wheel.write_bytes(b"damaged")
    assert build.fetch(lock, tmp_path / "wheels") == [wheel]
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in hashes
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert build.fetch(lock, tmp_path / "wheels") == [wheel]


SOURCES = {
    "one line": "deb [arch=amd64] http://mirror.example/debian bookworm contrib main\n"
    "deb-src http://source.example/debian bookworm main\ndeb http://mirror.example/security bookworm-security main\n",
    "deb822": "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm-updates bookworm\n"
    "Components: main\nArchitectures: amd64\n",
    "another release": "deb http://mirror.example/debian trixie main\n",
}


@pytest.mark.parametrize("form", SOURCES)
def test_the_mirror_is_the_one_of_apt(tmp_path, monkeypatch, form):
    """Apt itself reads its sources, in both formats; other releases and sources do not count."""
    (tmp_path / ("x.sources" if form == "deb822" else "x.list")).write_text(SOURCES[form])
    settings = [f'Dir::Etc::SourceList "{tmp_path}/none";', f'Dir::Etc::SourceParts "{tmp_path}";']
    settings.append('Acquire::http::Proxy "http://proxy.example:3128";')
    (tmp_path / "apt.conf").write_text("\n".join([*settings, 'APT::Architecture "amd64";']))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    expected = "" if form == "another release" else "http://mirror.example/debian"
    assert build.mirror_of(build._indexes()) == expected
    assert build._proxies() == {"http_proxy": "http://proxy.example:3128"}


def test_without_a_daemon_nothing_is_fetched(tmp_path):
    """E4104, before anything is written."""
    code, said = command(DOCKER_HOST="unix:///nonexistent", XDG_CACHE_HOME=str(tmp_path))
    assert (code, said[:12]) == (3, "error[E4104]")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lacks", "cause"),
    [("root", "debootstrap needs root"), ("mirror", "no mirror of bookworm"), ("debootstrap", "is not installed")],
)
def test_no_base_can_be_made_without(monkeypatch, tmp_path, lacks, cause):
    """Each thing that a base needs is named when it is missing, with what to do."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000 if lacks == "root" else 0)
    monkeypatch.setattr(build, "_indexes", lambda: "" if lacks == "mirror" else "Packages bookworm main http://x\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OurFault) as caught:
        build._bootstrap(None, "grader-test:none")
    assert caught.value.code == "E4115"
    assert cause in caught.value.cause
    assert "--base IMAGE" in caught.value.hint


def test_an_unreachable_mirror_is_named(monkeypatch):
    """The real debootstrap against a port where nobody listens."""
    monkeypatch.setattr(build, "_indexes", lambda: "Packages bookworm main http://127.0.0.1:9/debian\n")
    monkeypatch.setattr(build, "_proxies", dict)
    with pytest.raises(OurFault, match="base") as caught:
        build._bootstrap(None, "grader-test:none")
    assert "127.0.0.1:9" in caught.value.hint


@pytest.mark.usefixtures("sandbox_images")
def test_a_base_that_cannot_be_had():
    """A name that no registry and no daemon knows: E4115, and no other base in its place."""
    code, said = command("numpy", "--force", GRADER_SANDBOX_BASE="127.0.0.1:9/none:1")
    assert code == 3
    assert re.match(r"error\[E4115\]: the base 127.0.0.1:9/none:1 cannot be had\ncause: .+", said)


def test_a_base_without_python(client, sandbox_images):
    """The build fails with what the daemon said, and the image that was there stays."""
    before = client.images.get(sandbox_images["numpy"]).id
    tag = f"grader-test:empty-{os.getpid()}"
    client.api.import_image_from_data(empty(), *tag.split(":"))
    try:
        with pytest.raises(OurFault, match="could not be built") as caught:
            build.build(["numpy"], tag, print, force=True)
    finally:
        client.images.remove(tag)
    assert caught.value.code == "E4115"
    assert "python3" in caught.value.cause
    assert client.images.get(sandbox_images["numpy"]).id == before


def empty():
    """Return a tar archive with one empty folder."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            member = tarfile.TarInfo("nothing")
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        return file.getvalue()


def test_a_tag_is_pulled_and_used_by_its_digest(client):
    """A registry of the test's own serves one image; what the tag names is pulled once and named by digest."""
    layer = empty()
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    ).encode()
    media = "application/vnd.docker.{}+json"
    form = media.format("distribution.manifest.v2")
    manifest = {
        "schemaVersion": 2,
        "mediaType": form,
        "config": blob(config) | {"mediaType": media.format("container.image.v1")},
        "layers": [blob(layer) | {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}],
    }
    document = json.dumps(manifest).encode()
    answers = {blob(each)["digest"]: each for each in (layer, config, document)} | {"1": document, "": b"{}"}

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = answers[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Type", form if content == document else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", blob(content)["digest"])
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            name = f"127.0.0.1:{server.server_port}/base"
            found = build.find_base(client.api, f"{name}:1", print)
            assert found == f"{name}@{blob(document)['digest']}"
            assert client.images.get(found).attrs["RepoDigests"] == [found]
            assert build.find_base(client.api, found, print) == found
            client.images.remove(found)
        finally:
            server.shutdown()
            thread.join()


def blob(content):
    """Describe a blob as a manifest does."""
    return {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def test_a_full_disk_is_told_apart():
    """The daemon's words for it become E4108, in the middle of a build; the first stage is thrown away."""

    class Full:
        pruned = False

        def build(self, **_):
            yield {"stream": "Step 5/11 : COPY wheels /assembly/wheels"}
            yield {"error": "write /var/lib/docker/tmp/x: no space left on device"}

        def prune_images(self, _):
            self.pruned = True

    client = Full()
    with pytest.raises(OurFault) as caught:
        build._build(client, "numpy", "sha256:0", [], print)
    assert caught.value.code == "E4108"
    assert client.pruned


def test_every_code_of_the_builder_is_explained():
    """`grader explain` knows what a build can raise."""
    codes = set(re.findall(r"E\d{4}", Path(build.__file__).read_text()))
    assert {"E4108", "E4115"} <= codes <= CATALOGUE.keys()
