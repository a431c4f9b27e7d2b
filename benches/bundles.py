#!/usr/bin/env python3
"""What bundles cost: time and memory of an import and an export, and the size of deltas and of lifecycle bundles.

    benches/bundles.py --size 2GiB --folder /var/tmp/bundles
    benches/bundles.py --size 10GiB --only import      # in 31 GiB of disk and less than ten minutes

A registry of static files stands on a loopback port; a mirror takes all of it. Then the mirror is exported, imported into an
empty storage, one volume in a hundred gets a new release, and a delta follows. A second registry has many small volumes for the
lifecycle bundle. The folder is removed at the end. The figures are compared with what one core needs to unpack and hash the same
archives, and with what it takes to copy them; of a large set, with what a part of it needs, drawn evenly. The archives of the registry
become links to those of the bundle once there is one, so that the disk has three copies at most.
"""

import argparse
import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from pathlib import Path

import bibliotheca

MIB = 1 << 20
UNITS = {"KiB": 1 << 10, "MiB": MIB, "GiB": MIB << 10}
# The promises.
SPEED, MEMORY, DELTA, LIFECYCLE = 0.8, 100 * MIB, 1.1, 10_000_000


def main() -> None:
    given = arguments()
    folder = given.folder / "scriptorium-bundles"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        kept = large(given, folder / "large") if {"import", "delta"} & given.only else []
        kept += [lifecycle(given, folder / "small")] if "lifecycle" in given.only else []
    finally:
        shutil.rmtree(folder)
    sys.exit(0 if all(kept) else 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, default="2GiB", help="bytes of all archives")
    parser.add_argument("--archive", type=size, default="10MiB", help="bytes of one archive")
    parser.add_argument("--volumes", type=int, default=10_000, help="volumes of the lifecycle bundle")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where there is room for three times the size")
    parser.add_argument("--reference", type=size, default="1GiB", help="bytes of archives that one core unpacks for comparison")
    parser.add_argument("--only", action="append", choices=["import", "delta", "lifecycle"], help="what is measured")
    parser.add_argument("--binary", type=Path, default=Path("target/release/scriptorium"))
    given = parser.parse_args()
    given.binary = given.binary.resolve()
    given.only = set(given.only or ["import", "delta", "lifecycle"])
    return given


def size(text: str) -> int:
    unit = next((unit for unit in UNITS if text.endswith(unit)), None)
    if unit is None:
        raise argparse.ArgumentTypeError("expected a number of MiB or GiB")
    return int(float(text.removesuffix(unit)) * UNITS[unit])


# The registry.


class Registry:
    """Static files below a folder, with the content type that each has at a registry."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.root.mkdir(parents=True)
        handler = functools.partial(Answering, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, name: str, releases: list[tuple[str, str, Path]]) -> None:
        """Publishes the releases of a volume: version, integrity and archive of each."""
        rows = []
        for version, integrity, archive in releases:
            exact = f"{self.url}/api/v1/volumes/{name}/{version}"
            available = {"state": "available"}
            rows.append(
                {"version": version, "status": available, "integrity": integrity, "dependencies": {}, "release": {"url": exact}}
            )
            dist = {
                "source": "cdn",
                "mediaType": "application/gzip",
                "url": f"{self.url}/cdn/{name}/{version}.tar.gz",
            }
            purl = f"pkg:volume/{name.replace('@', '%40')}@{version}"
            self.write(
                f"api/v1/volumes/{name}/{version}",
                {"name": name, "version": version, "purl": purl, "integrity": integrity, "status": available, "dist": dist},
            )
            link = self.root / "cdn" / name / f"{version}.tar.gz"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(archive)
        self.write(f"api/v1/index/volumes/{name}", {"items": rows})

    def write(self, path: str, value: dict) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Answering(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def guess_type(self, path: str) -> str:
        return "application/gzip" if path.endswith(".gz") else "application/json"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        kind = "https://agentvolumes.org/problems/not-found"
        body = json.dumps({"type": kind, "title": "Not found", "status": code, "detail": "not here"}).encode()
        self.send_response(code)
        self.send_header("content-type", "application/problem+json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Family:
    """Archives of one size that differ in their manifest alone: what they share is compressed once."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        content = bibliotheca._Content(bibliotheca.Plan("family", size))
        self.paths = [path for path in content.paths if path != "volume.toml"]
        assert content.paths[-1] == "volume.toml"
        self.gzip, self.digest = zlib.compressobj(6, zlib.DEFLATED, 31), hashlib.sha256()
        self.shared = b"".join(self._add(path, content.of(path), content.is_executable(path)) for path in self.paths)

    def _add(self, path: str, body: bytes, executable: bool) -> bytes:
        self.digest.update(b"file %s %d %d\n" % (path.encode(), executable, len(body)))
        self.digest.update(body)
        return self.gzip.compress(entry(path, body, executable))

    def make(self, name: str, version: str) -> tuple[str, Path]:
        """The integrity and the archive of a release."""
        gzip, digest = self.gzip.copy(), self.digest.copy()
        manifest = bibliotheca._manifest(name).replace(
            f'version = "{bibliotheca.VERSION}"'.encode(), f'version = "{version}"'.encode()
        )
        digest.update(b"file volume.toml 0 %d\n" % len(manifest) + manifest)
        file = self.folder / f"{name.replace('/', '+')}-{version}.tar.gz"
        rest = gzip.compress(entry("volume.toml", manifest, False) + bytes(1024)) + gzip.flush()
        file.write_bytes(self.shared + rest)
        return f"sha256:{digest.hexdigest()}", file


def entry(path: str, body: bytes, executable: bool) -> bytes:
    header = tarfile.TarInfo(path)
    header.size, header.mode = len(body), 0o755 if executable else 0o644
    return header.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


# The two sites.


class Sites:
    """A site that reaches the registry and one that does not, with a key between them."""

    def __init__(self, binary: Path, folder: Path, registry: Registry, names: list[str], size: int) -> None:
        self.binary, self.folder = binary, folder
        (folder / "roots.txt").write_text("\n".join(names) + "\n")
        run([binary, "mirror", "key", "--out", folder / "corp"])
        trusted = (folder / "corp.pub").read_text().splitlines()[1]
        shared = f"""
upstreams = [{{ name = "public", url = "{registry.url}", requests_per_minute = 0, max_concurrent = 32 }}]
mirrors = [{{ name = "all", lists = ["roots.txt"], versions = "highest", closure = "none", trust = false }}]
bundles = {{ trusted_keys = ["{trusted}"] }}
"""
        for site, offline in (("near", "false"), ("far", "true")):
            (folder / f"{site}.toml").write_text(
                f'server = {{ listen = "127.0.0.1:1", admin_listen = "127.0.0.1:2" }}\n'
                f'storage = {{ url = "file://./{site}", max_size = "{4 * size // MIB + 1024}MiB" }}\n'
                f"cache = {{ offline = {offline} }}\n" + shared
            )

    def mirror(self, site: str, command: str, *words: object) -> "Measured":
        return run([self.binary, "mirror", command, *words, "--config", self.folder / f"{site}.toml", "--json"])

    def export(self, to: str, *words: object) -> "Measured":
        return self.mirror("near", "export", "all", "--to", self.folder / to, "--key", self.folder / "corp.key", *words)


class Measured:
    def __init__(self, seconds: float, cpu: float, peak: int, output: bytes) -> None:
        self.seconds, self.cpu, self.peak, self.output = seconds, cpu, peak, output

    def json(self) -> dict:
        return json.loads(self.output)


def run(command: list[object]) -> Measured:
    """Runs a command to its end; its output, its time, and the most memory that it held."""
    begun, before = time.monotonic(), os.times()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
    peak, over = [0], threading.Event()
    watch = threading.Thread(target=look, args=(child.pid, peak, over))
    watch.start()
    output, _ = child.communicate()
    seconds, after = time.monotonic() - begun, os.times()
    over.set()
    watch.join()
    if child.returncode not in (0, 1):
        sys.exit(f"{command} ended with {child.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(seconds, cpu, peak[0], output)


def look(pid: int, peak: list[int], over: threading.Event) -> None:
    while not over.wait(0.02):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return
        peak[0] = max([peak[0], *(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))])


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# The measurements.


def large(given: argparse.Namespace, folder: Path) -> list[bool]:
    registry, family = Registry(folder / "registry"), Family(folder / "archives", given.archive)
    count = max(100, given.size // given.archive)
    names = [f"volume-{number}" for number in range(count)]
    first = {name: ("1.0.0", *family.make(name, "1.0.0")) for name in names}
    for name in names:
        registry.publish(name, [first[name]])
    sites = Sites(given.binary, folder, registry, names, given.size)
    synced = sites.mirror("near", "sync").json()["mirrors"][0]
    assert synced["complete"], synced
    archives = [archive for _, _, archive in first.values()]
    total = length(archives)
    print(f"{count} archives, {total / 1e9:.2f} GB")

    exported = sites.export("full")
    link(archives, folder / "full")
    copied = copy(archives, folder / "copy")
    print(
        f"export   {exported.seconds:7.1f} s, {rate(total, exported.seconds)}, {exported.cpu:.1f} s of CPU time; "
        f"copying the same {copied:.1f} s"
    )
    print(f"         {exported.peak / MIB:.0f} MiB of memory")
    if "delta" not in given.only:
        shutil.rmtree(folder / "near")
    sample = archives[:: -(-total // given.reference)]
    scale = total / length(sample)
    before, shell = unpack_and_hash(sample), gunzip_and_sha256sum(sample[::4]) * total / length(sample[::4])
    imported = sites.mirror("far", "import", folder / "full")
    assert imported.json()["outcome"] == "imported", imported.output
    # Measured on both sides of the import, since a machine may be busier at one time than at another.
    after = unpack_and_hash(sample)
    alone, work = ((one + other) / 2 * scale for one, other in zip(before, after))
    ratio = alone / imported.seconds
    print(f"import   {imported.seconds:7.1f} s, {rate(total, imported.seconds)}, {imported.cpu:.1f} s of CPU time")
    print(
        f"         gunzip and SHA-256 on one core: zlib and OpenSSL {alone:.1f} s, {work:.1f} s of CPU time; "
        f"gzip | sha256sum {shell:.1f} s"
    )
    print(f"         {ratio:.2f} of the speed of the quicker one; {imported.peak / MIB:.0f} MiB of memory")
    kept = [
        told("import at 0.8 or more", ratio >= SPEED),
        told("memory under 100 MiB", max(imported.peak, exported.peak) < MEMORY),
    ]
    if "delta" in given.only:
        kept.append(delta(sites, registry, family, first))
    registry.close()
    return kept


def delta(sites: Sites, registry: Registry, family: Family, first: dict[str, tuple[str, str, Path]]) -> bool:
    folder, names = sites.folder, list(first)
    receipt = folder / "receipt.json"
    receipt.write_bytes(sites.mirror("far", "receipt").output)
    changed, fresh = names[:: 100], 0
    for name in changed:
        second = ("1.0.1", *family.make(name, "1.0.1"))
        registry.publish(name, [first[name], second])
        fresh += second[2].stat().st_size
    assert sites.mirror("near", "sync").json()["mirrors"][0]["complete"]
    sites.export("delta", "--for", receipt)
    taken = bytes_of(folder / "delta")
    print(f"delta    {taken / 1e6:.2f} MB for {fresh / 1e6:.2f} MB of new archives in {len(changed)} releases")
    imported = sites.mirror("far", "import", folder / "delta")
    assert imported.json()["outcome"] == "imported", imported.output
    print(f"         imported in {imported.seconds:.1f} s")
    return told("delta of 1.1 times the new bytes and 1 MB", taken <= DELTA * fresh + 1e6)


def lifecycle(given: argparse.Namespace, folder: Path) -> bool:
    registry, family = Registry(folder / "registry"), Family(folder / "archives", 1)
    names = [f"@scope-{number % 50}/volume-{number}" for number in range(given.volumes)]
    for name in names:
        registry.publish(name, [("1.0.0", *family.make(name, "1.0.0"))])
    sites = Sites(given.binary, folder, registry, names, 4 << 30)
    synced = sites.mirror("near", "sync")
    assert synced.json()["mirrors"][0]["complete"], synced.output[:2000]
    print(f"{len(names)} volumes, synced in {synced.seconds:.1f} s")
    exported = sites.export("blocks", "--lifecycle-only")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as tar:
        tar.add(folder / "blocks", "blocks")
    compressed = len(packed.getvalue())
    print(f"lifecycle {compressed / 1e6:.2f} MB as a tar.gz, {bytes_of(folder / 'blocks') / 1e6:.2f} MB as it is")
    taken = sites.mirror("far", "import", folder / "blocks")
    assert taken.json()["outcome"] == "imported", taken.output[:2000]
    print(f"         exported in {exported.seconds:.1f} s, imported in {taken.seconds:.1f} s")
    print(f"         {max(exported.peak, taken.peak) / MIB:.0f} MiB of memory")
    registry.close()
    return told("lifecycle bundle under 10 MB", compressed < LIFECYCLE)


def told(what: str, is_kept: bool) -> bool:
    print(f"{'kept  ' if is_kept else 'BROKEN'}   {what}")
    return is_kept


def rate(total: int, seconds: float) -> str:
    return f"{total / seconds / 1e6:.0f} MB/s"


def copy(archives: list[Path], to: Path) -> float:
    """The seconds that it takes to copy the archives, with a flush at the end."""
    to.mkdir()
    begun = time.monotonic()
    subprocess.run(["cp", "--reflink=never", *archives, to], check=True)
    subprocess.run(["sync", "-f", to], check=True)
    seconds = time.monotonic() - begun
    shutil.rmtree(to)
    return seconds


def length(archives: list[Path]) -> int:
    return sum(archive.stat().st_size for archive in archives)


def link(archives: list[Path], bundle: Path) -> None:
    """Puts a link to its blob in the place of each archive that went into the bundle as it is."""
    for archive in archives:
        with archive.open("rb") as file:
            blob = bundle / "blobs" / "sha256" / hashlib.file_digest(file, "sha256").hexdigest()
        if blob.exists():
            archive.unlink()
            archive.hardlink_to(blob)


def unpack_and_hash(archives: list[Path]) -> tuple[float, float]:
    """The seconds of one thread with zlib and OpenSSL, and its CPU time."""
    begun, cpu = time.monotonic(), time.thread_time()
    for archive in archives:
        inflate, digest = zlib.decompressobj(31), hashlib.sha256()
        with archive.open("rb") as file:
            while piece := file.read(1 << 18):
                digest.update(inflate.decompress(piece))
        digest.update(inflate.flush())
    return time.monotonic() - begun, time.thread_time() - cpu


def gunzip_and_sha256sum(archives: list[Path]) -> float:
    """The seconds of the two programs on one core."""
    begun = time.monotonic()
    for archive in archives:
        command = f"gzip -dc '{archive}' | sha256sum"
        subprocess.run(["taskset", "-c", "0", "sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
