"""An environment is made once, whole, and holds what is pinned."""

import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import environment
from workspace import TOOLS, replace_file

NAMES = ["build", "checkov", "sam"]


class EnvironmentTest(unittest.TestCase):
    """Making, and telling whole from half made."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def finish(self, folder: Path) -> None:
        """What the making of an environment leaves."""
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        replace_file(folder / "made", str(folder).encode())

    def test_many_at_once_make_an_environment_once(self):
        made = []

        def make(folder: Path, name: str) -> None:
            made.append(name)
            self.finish(folder)

        with mock.patch.dict("os.environ", CARGO_TARGET_DIR=str(self.folder)), mock.patch.object(environment, "make", make):
            threads = [threading.Thread(target=environment.ready, args=["build"]) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(made, ["build"])

    def test_one_that_was_interrupted_or_moved_is_not_whole(self):
        whole, moved, interrupted = self.folder / "whole", self.folder / "moved", self.folder / "interrupted"
        self.finish(whole)
        self.assertTrue(environment.is_whole(whole))
        whole.rename(moved)
        self.assertFalse(environment.is_whole(moved))
        self.finish(interrupted)
        (interrupted / "made").unlink()
        self.assertFalse(environment.is_whole(interrupted))

    def test_other_pins_are_another_environment(self):
        self.assertNotEqual(environment.fingerprint("a==1"), environment.fingerprint("a==2"))
        self.assertEqual(environment.fingerprint("a==1"), environment.fingerprint("a==1"))

    def test_every_package_is_pinned_to_one_version(self):
        self.assertEqual(sorted(path.stem for path in (TOOLS / "requirements").glob("*.txt")), NAMES)
        for name in NAMES:
            lines = (TOOLS / "requirements" / f"{name}.txt").read_text().splitlines()
            pins = [line for line in lines if not line.startswith("#")]
            self.assertTrue(pins)
            for pin in pins:
                self.assertRegex(pin, r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")

    def test_a_failed_step_says_what_failed_and_the_remedy(self):
        with self.assertRaises(environment.Problem) as caught:
            environment.run(["false"], "the packages could not be installed", "look above")
        self.assertIn("the packages could not be installed", str(caught.exception))
        self.assertIn("look above", str(caught.exception))
        self.assertEqual(caught.exception.code, 2)
