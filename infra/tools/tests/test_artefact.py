"""The artefact's bytes depend on the executable alone."""

import io
import os
import unittest
import zipfile
from pathlib import Path

import artefact

PLACE = artefact.Place(Path("/home/a/clone"), Path("/tmp/made"), Path("/home/a/.cargo"))


class ArtefactTest(unittest.TestCase):
    """Packing, and what a build is told."""

    def test_the_same_executable_gives_the_same_zip_whoever_packs_it(self):
        content = os.urandom(1000) + bytes(100_000)
        first = artefact.zipped(content)
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        self.assertEqual(first, artefact.zipped(content))

    def test_the_zip_holds_one_executable_of_that_name_with_a_date_that_never_changes(self):
        with zipfile.ZipFile(io.BytesIO(artefact.zipped(b"ELF" * 1000))) as archive:
            (entry,) = archive.infolist()
            self.assertEqual(archive.read(entry), b"ELF" * 1000)
        self.assertEqual(entry.filename, "bootstrap")
        self.assertEqual(entry.external_attr >> 16, 0o100755)
        self.assertEqual(entry.date_time, (1980, 1, 1, 0, 0, 0))
        self.assertLess(entry.compress_size, 100)

    def test_what_surrounds_a_build_has_no_say_in_its_bytes(self):
        dropped = [
            "CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_BIN_EXE_bootstrap", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_LAMBDA_LTO", "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER",
            "CC", "CFLAGS", "CC_x86_64_unknown_linux_gnu", "CFLAGS_x86_64-unknown-linux-gnu", "TARGET_CC", "AWS_LC_SYS_CFLAGS", "CPATH",
        ]  # fmt: skip
        kept = [
            "PATH", "HOME", "LD_LIBRARY_PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_BUILD_JOBS",
            "CARGO_HTTP_PROXY", "CCACHE_DIR",
        ]  # fmt: skip
        self.assertEqual([name for name in dropped + kept if artefact.has_a_say(name)], dropped)

    def test_a_limit_is_complained_about_by_name_and_only_above_it(self):
        def built(executable: int, packed: int) -> artefact.Artefact:
            return artefact.Artefact("x86_64", "rustc", Path("b"), executable, "", Path("z"), packed, "")

        self.assertEqual(built(12_000_000, 5_000_000).complaints(), [])
        self.assertEqual(
            built(12_000_001, 5_000_001).complaints(),
            ["the executable has 12,000,001 bytes, more than 12,000,000", "the zip has 5,000,001 bytes, more than 5,000,000"],
        )


