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
    peers: Path


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


def install_python():
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


def _build_go(folder, source):
    """amqp091-go as Debian packs it, so that no module is asked for."""
    package = folder / "amqp091-go.package"
    if not package.exists():
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _run("apt-get", "download", "-qq", "golang-github-rabbitmq-amqp091-go-dev", cwd=partial)
        (archive,) = partial.glob("*.deb")
        _run("dpkg-deb", "-x", archive, partial / "unpacked")
        partial.rename(package)
    gopath = package / "unpacked/usr/share/gocode"
    environment = dict(os.environ, GOPATH=str(gopath), GO111MODULE="off", GOCACHE=str(folder / "go"))
    _run("go", "build", "-o", folder / "bin/amqp091-go", source, env=environment)


def _build_lapin(folder, source):
    """With the versions of the repository's lock file, as far as they are in it."""
    place = folder / "lapin-tls"
    shutil.copytree(source, place, dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "Cargo.lock", place)
    target = folder / "lapin"
    _run("cargo", "build", "--quiet", "--target-dir", target, cwd=place)
    (folder / "bin").mkdir(exist_ok=True)
    shutil.copy(target / "debug/lapin-tls", folder / "bin")


def _build_peers():
    """Programs in Go, where there is a compiler for it, and in Rust when INTEROP_LAPIN=1: it takes minutes."""
    folder = CACHE / "peers"
    folder.mkdir(exist_ok=True)
    go, lapin = INTEROP / "tls/peer.go", INTEROP / "tls/lapin"
    builds = [("go", _build_go, go, [go])]
    if os.environ.get("INTEROP_LAPIN") == "1":
        builds.append(("cargo", _build_lapin, lapin, [REPOSITORY / "Cargo.lock", lapin / "Cargo.toml", lapin / "src/main.rs"]))
    for compiler, build, source, files in builds:
        stamp = folder / f"{compiler}.built"
        wanted = _fingerprint(*files)
        if not shutil.which(compiler):
            print(f"no {compiler}: the TLS cases go without its client", file=sys.stderr)
        elif not _up_to_date(stamp, wanted):
            build(folder, source)
            stamp.write_text(wanted)
    return folder


def install():
    CACHE.mkdir(parents=True, exist_ok=True)
    return Installed(install_python(), _install_node(), _build_peers())
