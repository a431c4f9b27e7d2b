"""devpi-server: a PyPI index that mirrors another."""

import base64
import hashlib
import json
import re
import subprocess
import urllib.request
from pathlib import Path

from bibliotheca import VERSION, Archive
from load import get
from servers import Origin, Server

from peers.peer import SMALL, SMALL_SIZE, Peer, find, link_archive, write


class Devpi(Peer):
    """devpi-server in its default configuration. Its index root/pypi mirrors the origin."""

    title = "devpi-server"

    def __init__(self, folder: Path, origin: Origin, crowd: Archive, cpus: set[int]) -> None:
        program = self.program()
        folder.mkdir(parents=True)
        initialize = [str(Path(program).with_name("devpi-init")), "--serverdir", str(folder / "data")]
        subprocess.run(initialize, check=True, capture_output=True)
        Server.__init__(self, "devpi-server", folder, "devpi.yml", [program, "-c"], cpus)
        try:
            self._mirror(origin)
        except OSError:
            self.stop()
            raise

    def _mirror(self, origin: Origin) -> None:
        """Points root/pypi at the origin."""
        token = self._send("POST", "/+login", {"user": "root", "password": ""})["result"]["password"]
        key = base64.b64encode(f"root:{token}".encode()).decode()
        mirror = [f"mirror_url={origin.url('/simple/')}", "mirror_cache_expiry=86400"]
        self._send("PATCH", "/root/pypi", mirror, {"X-Devpi-Auth": key})

    @staticmethod
    def program() -> str:
        install = "python3 -m venv target/tools/devpi && target/tools/devpi/bin/pip install devpi-server"
        return find("devpi-server", install, "devpi/bin/devpi-server")

    def document_path(self) -> str:
        return f"/root/pypi/+simple/{SMALL}/"

    def archive_path(self, crowd: Archive) -> str:
        page = get(self, f"/root/pypi/+simple/{crowd.name}/").decode()
        if not (link := re.search(r'href="(?:\.\./)*([^"#]+\.tar\.gz)', page)):
            raise SystemExit(f"devpi-server lists no archive:\n{page}")
        return f"/root/pypi/{link[1].removeprefix('/root/pypi/')}"

    @staticmethod
    def publish(root: Path, origin: Origin, crowd: Archive) -> str:
        path = link_archive(root, f"/files/{crowd.name}-{VERSION}.tar.gz", crowd)
        digest = hashlib.sha256(Path(crowd.file).read_bytes()).hexdigest()
        write(root, "/simple/index.html", "".join(f'<a href="{n}/">{n}</a>\n' for n in (crowd.name, SMALL)))
        write(root, f"/simple/{crowd.name}/index.html", _link(crowd.name, VERSION, digest))
        rows = (_link(SMALL, f"1.{minor}.0", digest) for minor in range(SMALL_SIZE // 180))
        write(root, f"/simple/{SMALL}/index.html", "".join(rows))
        return path

    def _send(self, method: str, path: str, body: object, headers: dict[str, str] | None = None) -> dict:
        headers = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url(path), json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def _link(name: str, version: str, digest: str) -> str:
    file = f"{name}-{version}.tar.gz"
    return f'<a href="/files/{file}#sha256={digest}">{file}</a><br>\n'
