"""docker distribution as a pull-through cache of container images."""

import hashlib
import json
from pathlib import Path

from bibliotheca import Archive
from servers import Origin, Server

from peers.peer import SMALL, SMALL_SIZE, Peer, find, link_archive, write

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry(Peer):
    """docker-registry in proxy mode. The document is a manifest that is requested by digest, so it never expires."""

    title = "docker distribution"
    headers = {"Accept": MANIFEST}

    def __init__(self, folder: Path, origin: Origin, crowd: Archive, cpus: set[int]) -> None:
        command = [self.program(), "serve"]
        Server.__init__(self, "docker-registry", folder, "registry.yml", command, cpus, ORIGIN=origin.port)

    @staticmethod
    def program() -> str:
        return find("docker-registry", "apt-get install docker-registry")

    def document_path(self) -> str:
        return f"/v2/{SMALL}/manifests/{_digest(_manifest())}"

    def archive_path(self, crowd: Archive) -> str:
        return _blob(crowd)

    @staticmethod
    def publish(root: Path, origin: Origin, crowd: Archive) -> str:
        manifest = _manifest()
        write(root, f"/v2/{SMALL}/manifests/{_digest(manifest)}", manifest)
        return link_archive(root, _blob(crowd), crowd)


def _blob(crowd: Archive) -> str:
    return f"/v2/{crowd.name}/blobs/sha256:{hashlib.sha256(Path(crowd.file).read_bytes()).hexdigest()}"


def _manifest() -> str:
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    parts = [
        {"mediaType": kind, "size": 1000 + number, "digest": _digest(str(number))}
        for number in range(SMALL_SIZE // 165)
    ]
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": _digest("")}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": parts})


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
