"""Installs the pinned client libraries into a cache outside of the sources."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent
REPOSITORY = INTEROP.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
CACHE = TARGET / "interop"


@dataclass
class Installed:
    python: Path
    node_modules: Path


def _fingerprint(*files):
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _up_to_date(stamp, wanted):
    return stamp.exists() and stamp.read_text() == wanted


def _run(*command, **options):
    # The counts are read from stdout, so what installers say goes to stderr.
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, **options)


def install_packages(requirements, name):
    """A Python with these packages, of its own."""
    folder = CACHE / name
    stamp = folder / "installed"
    wanted = _fingerprint(requirements)
    if not _up_to_date(stamp, wanted):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(folder / "bin/python", "-m", "pip", "install", "--quiet", "-r", requirements)
        stamp.write_text(wanted)
    return folder / "bin/python"


def _install_python():
    return install_packages(INTEROP / "requirements.txt", "venv")


def _install_node():
    folder = CACHE / "node"
    stamp = folder / "installed"
    files = [INTEROP / "package.json", INTEROP / "package-lock.json"]
    wanted = _fingerprint(*files)
    if not _up_to_date(stamp, wanted):
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        for file in files:
            shutil.copy(file, folder)
        _run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        stamp.write_text(wanted)
    return folder / "node_modules"


def install():
    CACHE.mkdir(parents=True, exist_ok=True)
    return Installed(_install_python(), _install_node())
