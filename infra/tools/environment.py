"""The Python packages that the commands stand on, in virtual environments of their own.

Three of them, because not every command needs everything and because sam and checkov want different versions of the same
packages: `build` (cargo-zigbuild, zig), `sam` (sam, cfn-lint, moto), `checkov`. `requirements/NAME.txt` pins every package,
those that others bring along too, so the same commit has the same tools. Each environment is made once, in a folder named
by the hash of its pins; the file `made` in it, written last, tells a whole one from one that was interrupted.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from console import Problem, last_lines, progress
from workspace import TOOLS, one_at_a_time, replace_file, target_folder


def program(environment: str, name: str) -> list[str]:
    """The command that starts an executable of one of the environments, which is made if it is not there.

    Started by its Python: the first line of a script cannot hold a path with spaces.
    """
    scripts = ready(environment) / "bin"
    return [str(scripts / "python"), str(scripts / name)]


def surroundings() -> dict[str, str]:
    """The variables around, less those by which other packages would show through."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def ready(environment: str) -> Path:
    """The folder of an environment, whole."""
    pins = (TOOLS / "requirements" / f"{environment}.txt").read_text()
    folder = target_folder() / "tools" / f"{environment}-{fingerprint(pins)}"
    if not is_whole(folder):
        with one_at_a_time(folder.name):
            # Whoever held the lock before may have made it.
            if not is_whole(folder):
                make(folder, environment)
    return folder


def enter(environment: str) -> None:
    """Starts this very command again inside an environment, unless it runs there already."""
    folder = ready(environment)
    if Path(sys.prefix).resolve() == folder.resolve():
        return
    python = str(folder / "bin" / "python")
    os.execve(python, [python, str(TOOLS), *sys.argv[1:]], surroundings())


def fingerprint(pins: str) -> str:
    """A short name for what an environment consists of: the packages, and the Python and machine they are for."""
    parts = [pins, *platform.python_version_tuple()[:2], platform.system(), platform.machine()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def is_whole(folder: Path) -> bool:
    """Whether an environment was finished, at this very place: its scripts hold its path."""
    made = folder / "made"
    return made.is_file() and made.read_text() == str(folder) and (folder / "bin" / "python").exists()


def make(folder: Path, environment: str) -> None:
    """Makes an environment from nothing."""
    progress(f"installing the packages of {environment} into {folder} (once)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run(
        [sys.executable, "-m", "venv", str(folder)],
        f"no virtual environment could be made with {sys.executable}",
        "install Python's venv and ensurepip (on Debian and Ubuntu: apt-get install python3-venv)",
    )
    # The list is complete: resolving dependencies could only bring in what is not pinned.
    pins = TOOLS / "requirements" / f"{environment}.txt"
    run(
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-input",
         "--disable-pip-version-check", "--requirement", str(pins)],
        f"the packages of {pins.relative_to(TOOLS.parents[1])} could not be installed",
        "look at what pip says above; it needs the network once, later runs do not",
    )  # fmt: skip
    replace_file(folder / "made", str(folder).encode())


def run(command: list[str], thing: str, remedy: str) -> None:
    """A step of the making."""
    outcome = subprocess.run(command, env=surroundings(), capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise Problem(f"{thing}:\n{last_lines(outcome.stdout + outcome.stderr)}", remedy)
