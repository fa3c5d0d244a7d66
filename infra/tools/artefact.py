"""The artefact: one executable, `bootstrap`, for all functions, in `target/lambda/bootstrap.zip`.

zig links it against the C library of Lambda's Amazon Linux 2023, whatever this machine has. The same commit gives the same
bytes with the same compiler, and the same zip with the same zlib: nothing else of the machine goes in. Folders are cut from the paths in it, variables that change a
build are kept away from it, and the zip holds a fixed date. `build --twice` proves it.
"""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import environment
from console import NOT_AS_IT_SHOULD_BE, Problem, progress
from workspace import ROOT, one_at_a_time, replace_file, target_folder

PROFILE = "lambda"
# What the templates deploy, as seen from the root.
CODE = "target/lambda/bootstrap.zip"
# Lambda's name of a processor, and Rust's name of the machine.
MACHINES = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
# What Amazon Linux 2023 has.
C_LIBRARY = "2.34"
# A cold start loads all of it. Bytes, of 1000 to the kilobyte.
EXECUTABLE_LIMIT = 12_000_000
ZIP_LIMIT = 5_000_000
# The earliest date a zip can hold, in its own form and as seconds since 1970.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
SOURCE_DATE = "315532800"

# The variables by which a surrounding cargo, compiler or shell would have a say in the bytes. Of cargo's own only those
# are let through that say where things are and how they are fetched.
CARGO_KEPT = ("CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_TERM_", "CARGO_BUILD_JOBS")
COMPILER_DROPPED = ("AR", "ARFLAGS", "CC", "CFLAGS", "CPPFLAGS", "CXX", "CXXFLAGS", "LDFLAGS", "RANLIB")
SEARCHED_DROPPED = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH")
PREFIXES_DROPPED = ("AWS_LC_", "BINDGEN_", "CMAKE_", "HOST_", "RUSTC", "RUSTDOC", "RUSTFLAGS", "TARGET_", "ZIG_")


@dataclass(frozen=True)
class Place:
    """Where a build happens: the sources, the folder for what is made, and cargo's home."""

    sources: Path
    target: Path
    cargo_home: Path


@dataclass(frozen=True)
class Artefact:
    """What a build gave."""

    architecture: str
    compiler: str
    executable: Path
    executable_bytes: int
    executable_sha256: str
    zip: Path
    zip_bytes: int
    sha256: str

    def described(self) -> dict[str, object]:
        """As a JSON document."""
        return asdict(self)

    def complaints(self) -> list[str]:
        """The limits that it is above."""
        sizes = [("executable", self.executable_bytes, EXECUTABLE_LIMIT), ("zip", self.zip_bytes, ZIP_LIMIT)]
        return [f"the {name} has {size:,} bytes, more than {limit:,}" for name, size, limit in sizes if size > limit]


def build(architecture: str = "x86_64", quiet: bool = False) -> Artefact:
    """Builds the artefact of this clone; over in a moment when nothing changed."""
    cargo_home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return build_at(Place(ROOT, target_folder(), cargo_home), architecture, quiet)


def build_twice(architecture: str = "x86_64", quiet: bool = False) -> tuple[Artefact, Artefact]:
    """Builds the clone's files in two other folders, from nothing, with another home of cargo for the second."""
    target_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="twice-", dir=target_folder()) as folder:
        home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
        other_home = Path(folder) / "home-of-cargo-elsewhere"
        other_home.symlink_to(home)
        places = [
            Place(Path(folder) / "one", Path(folder) / "one" / "target", home),
            Place(Path(folder) / "second-and-longer" / "clone", Path(folder) / "made-elsewhere", other_home),
        ]
        # Both copies first: somebody may go on writing meanwhile.
        copy_sources(places[0].sources)
        shutil.copytree(places[0].sources, places[1].sources)
        built = []
        for number, place in enumerate(places, start=1):
            progress(f"build {number} of 2, from nothing, in {place.sources}")
            built.append(build_at(place, architecture, quiet))
            # One at a time is enough of the disk.
            shutil.rmtree(place.target)
        return built[0], built[1]


def build_at(place: Place, architecture: str, quiet: bool) -> Artefact:
    """Builds and packs in a place."""
    if shutil.which("cargo") is None:
        raise Problem("there is no cargo", "install Rust: https://rustup.rs")
    machine = MACHINES[architecture]
    with one_at_a_time(f"artefact-{sha256(bytes(place.target))[:12]}"):
        compile_executable(place, machine, quiet)
        executable = place.target / machine / PROFILE / "bootstrap"
        content = executable.read_bytes()
        packed = place.target / PROFILE / "bootstrap.zip"
        replace_file(packed, zipped(content))
        zip_content = packed.read_bytes()
    return Artefact(
        architecture=architecture,
        compiler=said_by(["rustc", "--version"], place),
        executable=executable,
        executable_bytes=len(content),
        executable_sha256=sha256(content),
        zip=packed,
        zip_bytes=len(zip_content),
        sha256=sha256(zip_content),
    )


def compile_executable(place: Place, machine: str, quiet: bool) -> None:
    """Runs cargo with zig as the linker."""
    tools = environment.ready("build")
    sysroot = Path(said_by(["rustc", "--print", "sysroot"], place))
    if not (sysroot / "lib" / "rustlib" / machine / "lib").is_dir():
        raise Problem(
            f"the compiler cannot build for {machine}: its standard library is not installed",
            f"rustup target add {machine}",
        )
    command = [
        str(tools / "bin" / "cargo-zigbuild"), "zigbuild", "--locked", "--profile", PROFILE,
        "--target", f"{machine}.{C_LIBRARY}", "--package", "lambda", "--bin", "bootstrap",
    ]  # fmt: skip
    if quiet:
        command.append("--quiet")
    # Cargo's standard output is not wanted among the results.
    variables = build_variables(dict(os.environ), place, sysroot, tools)
    if subprocess.run(command, cwd=place.sources, env=variables, stdout=2, check=False).returncode != 0:
        raise Problem("the artefact does not build", "look at what cargo says above", NOT_AS_IT_SHOULD_BE)


def build_variables(surroundings: dict[str, str], place: Place, sysroot: Path, tools: Path) -> dict[str, str]:
    """The environment of a build: what is around, less what would change the bytes, plus what keeps them the same."""
    kept = {name: value for name, value in surroundings.items() if not has_a_say(name)}
    return kept | {
        "CARGO_HOME": str(place.cargo_home),
        "CARGO_TARGET_DIR": str(place.target),
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(path_flags(place, sysroot)),
        "CARGO_INCREMENTAL": "0",
        "CARGO_ZIGBUILD_PYTHON_PATH": str(tools / "bin" / "python"),
        "CARGO_ZIGBUILD_CACHE_DIR": str(target_folder() / "tools" / "zigbuild"),
        "ZIG_GLOBAL_CACHE_DIR": str(target_folder() / "tools" / "zig"),
        "SOURCE_DATE_EPOCH": SOURCE_DATE,
        # rustup fetches what it misses; here it is to say so instead.
        "RUSTUP_AUTO_INSTALL": "0",
        "RUSTUP_DIST_SERVER": "http://127.0.0.1:9",
    }


def has_a_say(name: str) -> bool:
    """Whether a variable could change the artefact's bytes, or belongs to a cargo that started this process."""
    if name == "CARGO" or name.startswith("CARGO_"):
        return not name.startswith(CARGO_KEPT)
    # `CC`, and also `CC_x86_64_unknown_linux_gnu` and the like.
    return name.startswith(PREFIXES_DROPPED) or name.partition("_")[0] in COMPILER_DROPPED or name in SEARCHED_DROPPED


def path_flags(place: Place, sysroot: Path) -> list[str]:
    """Cuts this machine's folders from the paths that the executable holds; where several fit, the last counts."""
    # Where the standard library's sources are installed the compiler names those; elsewhere it names their commit.
    version = said_by(["rustc", "-vV"], place)
    commit = next(line.split()[1] for line in version.splitlines() if line.startswith("commit-hash"))
    cuts = [
        (place.sources, "."),
        (place.target, "target"),
        (place.cargo_home, "cargo"),
        (sysroot / "lib" / "rustlib" / "src" / "rust", f"/rustc/{commit}"),
    ]
    return [f"--remap-path-prefix={folder}={name}" for folder, name in cuts]


def said_by(command: list[str], place: Place) -> str:
    """What a program prints about itself, asked in the place where it will be used."""
    outcome = subprocess.run(command, cwd=place.sources, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise Problem(f"{' '.join(command)} failed: {outcome.stderr.strip()}", "install Rust: https://rustup.rs")
    return outcome.stdout.strip()


def zipped(executable: bytes) -> bytes:
    """The executable as Lambda takes it; the same bytes give the same zip."""
    entry = zipfile.ZipInfo("bootstrap", ZIP_DATE)
    entry.create_system = 3  # Unix: Lambda takes the mode from there.
    entry.external_attr = (stat.S_IFREG | 0o755) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, executable, compresslevel=9)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    """The hash by which two builds are compared."""
    return hashlib.sha256(content).hexdigest()


def copy_sources(destination: Path) -> None:
    """Copies the files of the clone that git knows or would take, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        raise Problem(f"git cannot list the files of {ROOT}: {listed.stderr.strip()}", "run it in a clone of the repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
