"""What a peer of the side field must say of itself."""

from pathlib import Path
from shutil import which

from bibliotheca import Archive
from servers import Origin, Server

TOOLS = Path(__file__).resolve().parent.parent.parent / "target/tools"
# The small document that is hit, and how large it is about.
SMALL, SMALL_SIZE = "index-2k", 2_000


class Absent(Exception):
    """A peer that is not installed here."""


class Peer(Server):
    """A pull-through cache of a registry with a protocol of its own."""

    title: str
    # What the small document is asked with.
    headers: dict[str, str] = {}

    def __init__(self, folder: Path, origin: Origin, crowd: Archive, cpus: set[int]) -> None:
        raise NotImplementedError

    @staticmethod
    def program() -> str:
        """Where the program is; `Absent` says how it would come here."""
        raise NotImplementedError

    def document_path(self) -> str:
        """A document of about 2 KB."""
        raise NotImplementedError

    def archive_path(self, crowd: Archive) -> str:
        """Where clients find the archive; what they read before they know that is in the cache then."""
        raise NotImplementedError

    @staticmethod
    def publish(root: Path, origin: Origin, crowd: Archive) -> str:
        """Writes the origin's files of this protocol; returns the archive's path there."""
        raise NotImplementedError


def find(program: str, install: str, beside: str = "") -> str:
    """A program below target/tools, or wherever it is installed."""
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
