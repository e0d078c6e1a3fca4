"""Brings a suite in its pinned version into a folder outside of the repository."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SUITES = Path(__file__).resolve().parent.parent


def call(*command, **options):
    # What installers say must not stand between the results.
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, **options)


def _only_child(folder):
    (child,) = [path for path in folder.iterdir() if path.is_dir()]
    return child


def virtual_environment(folder, pins):
    """The Python a suite runs with; remade when its pins change."""
    stamp = folder / "pins"
    if not stamp.exists() or stamp.read_text() != pins.read_text():
        call(sys.executable, "-m", "venv", "--clear", folder)
        call(folder / "bin/python", "-m", "pip", "install", "--quiet", "-r", pins)
        stamp.write_text(pins.read_text())
    return folder / "bin/python"


def sdist(folder, python, requirement):
    """The source distribution, unpacked: wheels leave the tests out."""
    done = folder / requirement.replace("==", "-")
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Without isolation pip asks the build backend from the pins, found by the path.
        environment = dict(os.environ, PATH=f"{python.parent}:{os.environ['PATH']}")
        call(python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation",
             "--no-binary", ":all:", "--dest", folder, requirement, env=environment)  # fmt: skip
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder / "unpacked")
        _only_child(folder / "unpacked").rename(done)
    return done


def repository(folder, checkouts, owner_and_name, tag, path):
    """One path of a repository at a tag, of a local repository when there is one."""
    done = folder / tag
    if not done.exists():
        partial = folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        source = partial / "repository"
        if checkouts:
            named = checkouts / owner_and_name.replace("/", "+")
            # A repository that was mirrored lies one folder deeper.
            source = named / "repo" if (named / "repo").exists() else named
        else:
            call("git", "clone", "--quiet", "--bare", "--depth", "1", "--branch", tag,
                 f"https://github.com/{owner_and_name}", source)  # fmt: skip
        archive = partial / "archive.tar"
        call("git", "-C", source, "archive", "--output", archive, tag, path)
        with tarfile.open(archive) as opened:
            opened.extractall(partial / "unpacked")
        (partial / "unpacked").rename(done)
        shutil.rmtree(partial)
    return done


def npm(folder, package):
    """A package of npm, unpacked by itself; the ones taken here need no others."""
    done = folder / "package"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        call("npm", "pack", "--silent", package, cwd=folder)
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder)
    return done


def debian(folder, package):
    """A Debian package, unpacked but not installed."""
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        call("apt-get", "download", "-qq", package, cwd=partial)
        (archive,) = partial.glob("*.deb")
        call("dpkg-deb", "-x", archive, partial / "unpacked")
        partial.rename(folder)
    return folder / "unpacked"


def crate(folder, name, version):
    """A crate with its tests, out of cargo's own cache: it may not be built in there."""
    done = folder / f"{name}-{version}"
    if not done.exists():
        asking = folder / "asking"
        shutil.rmtree(asking, ignore_errors=True)
        call("cargo", "init", "--quiet", "--vcs", "none", "--name", "asking", asking)
        call("cargo", "add", "--quiet", f"{name}@={version}", cwd=asking)
        told = subprocess.run(["cargo", "metadata", "--format-version", "1"], cwd=asking, check=True,
                              stdout=subprocess.PIPE).stdout  # fmt: skip
        (found,) = [package for package in json.loads(told)["packages"] if package["name"] == name]
        shutil.copytree(Path(found["manifest_path"]).parent, folder / "partial", dirs_exist_ok=True)
        (folder / "partial").rename(done)
    return done
