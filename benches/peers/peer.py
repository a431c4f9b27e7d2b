"""The interface of a program of the side field."""

from pathlib import Path
from shutil import which

from bibliotheca import Archive
from servers import Origin, Server

TOOLS = Path(__file__).resolve().parent.parent.parent / "target/tools"
# The small document that is requested, and its approximate size.
SMALL, SMALL_SIZE = "index-2k", 2_000


class Absent(Exception):
    """A program that is not installed."""


class Peer(Server):
    """A pull-through cache of a registry with its own protocol."""

    title: str
    # The header fields of the request for the small document.
    headers: dict[str, str] = {}

    def __init__(self, folder: Path, origin: Origin, crowd: Archive, cpus: set[int]) -> None:
        raise NotImplementedError

    @staticmethod
    def program() -> str:
        """The path of the program. `Absent` says how to install it."""
        raise NotImplementedError

    def document_path(self) -> str:
        """A document of about 2 KB."""
        raise NotImplementedError

    def archive_path(self, crowd: Archive) -> str:
        """The path of the archive for clients. The documents that lead to it are then cached."""
        raise NotImplementedError

    @staticmethod
    def publish(root: Path, origin: Origin, crowd: Archive) -> str:
        """Writes the origin's files of this protocol; returns the archive's path there."""
        raise NotImplementedError


def find(program: str, install: str, beside: str = "") -> str:
    """The path of a program, below target/tools or in `PATH`."""
    if beside and (found := TOOLS / beside).exists():
        return str(found)
    if installed := which(program):
        return installed
    raise Absent(f"{program} not found: {install}")


def link_archive(root: Path, path: str, archive: Archive) -> str:
    """Puts the archive at a path of the origin."""
    link = root / path.lstrip("/")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(archive.file)
    return path


def write(root: Path, path: str, content: str) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
