"""Verdaccio: an npm registry that caches its uplink."""

import base64
import hashlib
import json
from pathlib import Path

from bibliotheca import VERSION, Archive
from load import get
from servers import Origin, Server

from peers.peer import SMALL, SMALL_SIZE, Peer, find, link_archive, write


class Verdaccio(Peer):
    """Verdaccio in its default configuration, with one uplink."""

    title = "Verdaccio"

    def __init__(self, folder: Path, origin: Origin, crowd: Archive, cpus: set[int]) -> None:
        command = [self.program(), "--config"]
        Server.__init__(self, "verdaccio", folder, "verdaccio.yaml", command, cpus, ORIGIN=origin.port)

    @staticmethod
    def program() -> str:
        install = "npm install --prefix target/tools/verdaccio verdaccio"
        return find("verdaccio", install, "verdaccio/node_modules/.bin/verdaccio")

    def document_path(self) -> str:
        return f"/{SMALL}"

    def archive_path(self, crowd: Archive) -> str:
        get(self, f"/{crowd.name}")
        return f"/{crowd.name}/-/{crowd.name}-{VERSION}.tgz"

    @staticmethod
    def publish(root: Path, origin: Origin, crowd: Archive) -> str:
        content = Path(crowd.file).read_bytes()
        tarball = link_archive(root, f"/npm/-/{crowd.name}-{VERSION}.tgz", crowd)
        dist = {
            "tarball": origin.url(tarball),
            "shasum": hashlib.sha1(content).hexdigest(),
            "integrity": f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}",
        }
        write(root, f"/npm/{crowd.name}", json.dumps(_packument(crowd.name, dist)))
        small = _packument(SMALL, dist)
        small["readme"] = "a small package " * ((SMALL_SIZE - len(json.dumps(small))) // 16)
        write(root, f"/npm/{SMALL}", json.dumps(small))
        return tarball


def _packument(name: str, dist: dict) -> dict:
    version = {"name": name, "version": VERSION, "dist": dist}
    times = {"created": "2024-01-01T00:00:00.000Z", VERSION: "2024-01-01T00:00:00.000Z"}
    return {
        "_id": name,
        "name": name,
        "dist-tags": {"latest": VERSION},
        "versions": {VERSION: version},
        "time": times,
    }
