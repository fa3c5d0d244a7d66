"""Where things are: the clone that this tool belongs to, its templates, and the folder for everything that is made."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).resolve().parent


def target_folder() -> Path:
    """Cargo's target folder; everything this tool makes is below it."""
    return ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target")


def templates() -> list[Path]:
    """Every template, relative to the root: the root template first, then those it nests, however deep."""
    infra = ROOT / "infra"
    nested = sorted([*infra.glob("*.yaml"), *infra.glob("access/*.yaml")])
    found = [path for path in [ROOT / "template.yaml", *nested] if path.is_file()]
    return [path.relative_to(ROOT) for path in found]


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Makes other processes wait that want the same; a process that dies lets go."""
    path = target_folder() / "tools" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part; the same content is left alone."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
