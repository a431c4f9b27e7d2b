"""The certificate of a run: self-signed, for this machine, the same for every proxy."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Where the certificate and its private key are, as PEM."""

    file: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """An ECDSA key on P-256, which clients of today expect."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(
        [*command, "-keyout", str(made.key), "-out", str(made.file)], check=True, capture_output=True
    )
    return made
