"""Deploys a small agent and uploads a file in parts with the real client, and prints what it was told.

Where to and as whom is said by NULLSPACE_API_URL and NULLSPACE_API_KEY, as the client itself reads them.
Arguments: the sandbox that takes the file, how many bytes it has, and the id of an upload that failed, if
that is to be resumed and nothing else done. Prints one line of JSON.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from nullspace.agent_deployments import AgentDeployment
from nullspace.errors import FileUploadError
from nullspace.sandbox import Sandbox


def project(root: Path) -> Path:
    """An agent with everything a bundle can hold: files, one of them executable, folders, a link, a long name."""
    (root / "agent" / "prompts").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "nullspace.agent.toml").write_text(
        'name = "reviewer"\nmode = "job"\nentrypoint = "python agent/main.py"\n'
        '[bundle]\ninclude = ["."]\nexclude = ["left-out.txt"]\n'
    )
    (root / "agent" / "main.py").write_text("print('hello')\n")
    (root / "agent" / "prompts" / "안녕.md").write_text("# 안녕\n", encoding="utf-8")
    (root / "agent" / ("long-" * 30 + "name.txt")).write_text("found by a pax header\n")
    (root / "agent" / "nothing.txt").write_bytes(b"")
    (root / "agent" / "current.py").symlink_to("main.py")
    (root / "left-out.txt").write_text("not part of the bundle\n")
    script = root / "run.sh"
    script.write_text("#!/bin/sh\nexec python agent/main.py\n")
    script.chmod(0o755)
    (root / "agent" / "prompts").chmod(0o2755)
    return root


def deploy(folder: Path) -> dict:
    deployment, version, manifest = AgentDeployment.deploy(project(folder))
    polled = [deployment.get_version(version.id).status.value for _ in range(2)]
    return {
        "deployment": deployment.id,
        "version": version.id,
        "status": version.status.value,
        "polled": polled,
        "bundle_digest": manifest.bundle_digest,
        "files": manifest.file_count,
    }


def upload(sandbox_id: str, file: Path, size: int, failed: str | None) -> dict:
    block = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(1024))
    content = (block * (size // len(block) + 1))[:size]
    file.write_bytes(content)
    files = Sandbox.connect(sandbox_id).files
    try:
        if failed is not None:
            result = files.resume_upload(failed, file)
        else:
            result = files.upload_file(file, "/workspace/data.bin", resumable=True)
    except FileUploadError as error:
        return {"failed": error.upload_id, "error": type(error).__name__, "message": str(error)}
    return {
        "upload": result.upload_id,
        "path": result.target_path,
        "bytes": result.bytes_uploaded,
        "status": result.session.status.value,
        "parts": result.session.part_count,
        "resumed": result.resumed,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def main() -> None:
    sandbox_id, size = sys.argv[1], int(sys.argv[2])
    failed = sys.argv[3] if len(sys.argv) > 3 else None
    os.umask(0o022)
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "project").mkdir()
        if failed is None:
            told["deployed"] = deploy(root / "project")
        told["uploaded"] = upload(sandbox_id, root / "data.bin", size, failed)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
