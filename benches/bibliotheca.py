"""A small bibliotheca as files that any static server can serve.

Archives have many files of text that compresses to about a quarter. They are the same in every run, so they are kept
between runs. Documents contain the origin's address and are written anew for each run.
"""

import hashlib
import json
import random
import tarfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path

VERSION = "1.0.0"
# Part of the file names, so that a changed generator does not reuse older files.
GENERATION = 1
# Plain bytes per compressed byte, and plain bytes of a file: means of what `_text` generates.
RATIO, FILE_SIZE = 3.9, 12_000


@dataclass(frozen=True)
class Plan:
    """An archive to generate: about `size` compressed bytes, its entries in path order or shuffled."""

    name: str
    size: int
    shuffled: bool = False


@dataclass(frozen=True)
class Archive:
    """A generated archive."""

    name: str
    file: str
    integrity: str
    size: int
    unpacked: int
    entries: int


def make_archives(folder: Path, plans: list[Plan]) -> dict[str, Archive]:
    """Generates the archives that are not in `folder` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        return {made.name: made for made in pool.map(_make, [folder] * len(plans), plans)}


def _make(folder: Path, plan: Plan) -> Archive:
    record = folder / f"{plan.name}-{GENERATION}.json"
    if record.exists():
        return Archive(**json.loads(record.read_text()))
    file, partial = record.with_suffix(".tar.gz"), record.with_suffix(".partial")
    content = _Content(plan)
    with partial.open("wb") as target:
        unpacked = _write(target, content, plan.shuffled)
    partial.rename(file)
    made = Archive(
        plan.name, str(file), _integrity(content), file.stat().st_size, unpacked, len(content.paths)
    )
    record.write_text(json.dumps(asdict(made)))
    return made


class _Content:
    """The files of an archive. Each follows from its path alone, so that they can be read in any order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.text = _text()
        pages = max(1, round(plan.size * RATIO / FILE_SIZE))
        self.paths = [f"docs/part-{page // 100:04}/page-{page % 100:02}.md" for page in range(pages)]
        self.paths += ["agents/review.md", "scripts/check.sh", "volume.toml"]
        self.paths.sort()

    def of(self, path: str) -> bytes:
        if path == "volume.toml":
            return _manifest(self.plan.name)
        chance = random.Random(path)
        start = chance.randrange(len(self.text) - 2 * FILE_SIZE)
        return self.text[start : start + chance.randrange(2 * FILE_SIZE)]

    @staticmethod
    def is_executable(path: str) -> bool:
        return path.endswith(".sh")


def _write(target, content: _Content, shuffled: bool) -> int:
    gzip, unpacked = zlib.compressobj(6, zlib.DEFLATED, 31), 1024
    paths = list(content.paths)
    if shuffled:
        random.Random(content.plan.name).shuffle(paths)
    for path in paths:
        body = content.of(path)
        header = tarfile.TarInfo(path)
        header.size, header.mode = len(body), 0o755 if content.is_executable(path) else 0o644
        entry = header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)
        target.write(gzip.compress(entry))
        unpacked += len(entry)
    target.write(gzip.compress(bytes(1024)) + gzip.flush())
    return unpacked


def _integrity(content: _Content) -> str:
    digest = hashlib.sha256()
    for path in content.paths:
        body = content.of(path)
        digest.update(b"file %s %d %d\n" % (path.encode(), content.is_executable(path), len(body)))
        digest.update(body)
    return f"sha256:{digest.hexdigest()}"


@cache
def _text() -> bytes:
    """Eight megabytes of Markdown-like lines, in which words and phrases recur as in prose."""
    chance = random.Random("text")
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(chance.choices(letters, range(26, 0, -1), k=chance.randint(2, 10))) for _ in range(2000)]
    phrases = [" ".join(chance.choices(words, k=chance.randint(3, 6))) for _ in range(1000)]
    terms = words + phrases
    chance.shuffle(terms)
    stream = iter(chance.choices(terms, [1 / (rank + 2) for rank in range(len(terms))], k=800_000))
    marks = ["", "", "", "", "- ", "- ", "    let ", "    ", "## ", "| "]
    return "".join(_lines(stream, marks, chance)).encode()[:8_000_000]


def _lines(terms: Iterator[str], marks: list[str], chance: random.Random) -> Iterator[str]:
    while line := list(islice(terms, chance.randint(3, 9))):
        yield f"{chance.choice(marks)}{' '.join(line)}.\n"


def _manifest(name: str) -> bytes:
    return f"""[volume]
schema = 1
name = "{name}"
version = "{VERSION}"
description = "Text to measure with"
license = "Apache-2.0"
role = "library"

[publisher]
id = "bench"

[[components]]
type = "agent"
name = "review"
entrypoint = "agents/review.md"
""".encode()


def write_documents(root: Path, origin: str, made: dict[str, Archive], indexes: dict[str, int]) -> None:
    """Writes the documents below `root`; `indexes` gives names and sizes of indexes without archives."""
    for name, size in indexes.items():
        _write_json(root, f"api/v1/index/volumes/{name}", {"items": _rows(origin, name, size)})
    for archive in made.values():
        row = _row(origin, archive.name, VERSION, archive.integrity)
        _write_json(root, f"api/v1/index/volumes/{archive.name}", {"items": [row]})
        _write_json(root, f"api/v1/volumes/{archive.name}/{VERSION}", _release(origin, archive))
        link = root / "cdn" / archive.name / f"{VERSION}.tar.gz"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(archive.file)


def write_volumes(root: Path, origin: str, prefix: str, count: int) -> list[str]:
    """Writes volumes of one small release each below `root`, for a mirror; returns their names."""
    names = [f"{prefix}-{number}" for number in range(count)]
    for name in names:
        content = _Content(Plan(name, 3_000))
        file = root / "cdn" / name / f"{VERSION}.tar.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as target:
            unpacked = _write(target, content, shuffled=False)
        size, entries = file.stat().st_size, len(content.paths)
        made = Archive(name, str(file), _integrity(content), size, unpacked, entries)
        row = _row(origin, name, VERSION, made.integrity)
        _write_json(root, f"api/v1/index/volumes/{name}", {"items": [row]})
        _write_json(root, f"api/v1/volumes/{name}/{VERSION}", _release(origin, made))
    return names


def tree_of(plan: Plan) -> Iterator[tuple[str, bool, bytes]]:
    """The files of a release: path, whether it can be executed, bytes."""
    content = _Content(plan)
    return ((path, content.is_executable(path), content.of(path)) for path in content.paths)


def write_git_release(root: Path, origin: str, plan: Plan, repository: str, reference: str) -> None:
    """Writes the documents of a release that Git delivers below `root`."""
    made = Archive(plan.name, "", _integrity(_Content(plan)), 0, 0, 0)
    row = _row(origin, plan.name, VERSION, made.integrity)
    _write_json(root, f"api/v1/index/volumes/{plan.name}", {"items": [row]})
    dist = {"source": "git", "repository": repository, "ref": reference}
    _write_json(root, f"api/v1/volumes/{plan.name}/{VERSION}", _release(origin, made) | {"dist": dist})


def _rows(origin: str, name: str, size: int) -> list[dict]:
    rows: list[dict] = []
    while len(json.dumps({"items": rows})) < size:
        version = f"1.{len(rows)}.0"
        rows.append(_row(origin, name, version, f"sha256:{hashlib.sha256(version.encode()).hexdigest()}"))
    return rows


def _row(origin: str, name: str, version: str, integrity: str) -> dict:
    return {
        "version": version,
        "status": {"state": "available"},
        "integrity": integrity,
        "dependencies": {"base-prompts": "^1.2.0"},
        "release": {"url": f"{origin}/api/v1/volumes/{name}/{version}"},
    }


def _release(origin: str, archive: Archive) -> dict:
    return {
        "name": archive.name,
        "version": VERSION,
        "purl": f"pkg:volume/{archive.name}@{VERSION}",
        "integrity": archive.integrity,
        "status": {"state": "available"},
        "dist": {
            "source": "cdn",
            "mediaType": "application/gzip",
            "url": f"{origin}/cdn/{archive.name}/{VERSION}.tar.gz",
        },
    }


def _write_json(root: Path, path: str, value: dict) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
