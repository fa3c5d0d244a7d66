"""The tool for what is deployed: `python3 infra/tools COMMAND`.

Only Python's standard library is needed to start it. What the commands stand on beside that is installed once, pinned, below
the target folder.
"""

import argparse
import os
import signal
import sys
import unittest
from pathlib import Path

if sys.version_info < (3, 11):
    sys.stderr.write(f"error: this is Python {sys.version.split()[0]}, the tool needs 3.11 or newer\n")
    sys.stderr.write("  remedy: run it with a newer python3\n")
    sys.exit(2)

# The folder of the tool stays as it is in the repository.
sys.dont_write_bytecode = True

import artefact
import emulate
import environment
import validate
from console import COULD_NOT, NOT_AS_IT_SHOULD_BE, Problem, print_json, progress
from workspace import ROOT, TOOLS

EXAMPLES = """examples:
  python3 infra/tools build                     the artefact, target/lambda/bootstrap.zip
  python3 infra/tools build --twice             and whether two builds give the same bytes
  python3 infra/tools validate                  every template
  python3 infra/tools validate infra/state.yaml
  python3 infra/tools emulate                   creates the stack in an emulated AWS, until standard input ends
  python3 infra/tools sam deploy --guided       the pinned sam
  python3 infra/tools test                      the tests of this tool

exit codes: 0 done, 1 not as it should be, 2 could not be done"""


def main(arguments: list[str]) -> int:
    """Runs one command; gives the exit code."""
    # Everything behind it belongs to sam, its `--help` too.
    if arguments[:1] == ["sam"]:
        return run_sam(arguments[1:])
    options = parser().parse_args(arguments)
    return options.run(options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python3 infra/tools",
        description="Builds, checks and emulates what is deployed to AWS.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    build = commands.add_parser("build", help="build the artefact and say how large it is")
    build.add_argument("--arch", choices=sorted(artefact.MACHINES), default="x86_64", help="the processor [default: x86_64]")
    build.add_argument("--twice", action="store_true", help="build in two other folders instead, and compare the bytes; takes minutes")
    build.add_argument("--quiet", action="store_true", help="do not show what cargo compiles")
    build.add_argument("--json", action="store_true", help="print one JSON document")
    build.set_defaults(run=run_build)

    check = commands.add_parser("validate", help="look at the templates with sam, cfn-lint and checkov")
    check.add_argument("file", nargs="*", type=Path, help="a template, as seen from the root [default: all of them]")
    check.add_argument("--json", action="store_true", help="print one JSON document")
    check.set_defaults(run=run_validate)

    world = commands.add_parser("emulate", help="create the stack in an emulated AWS, until standard input ends")
    world.add_argument("--stack", default="collector", help="the stack's name [default: collector]")
    world.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the root template")
    world.add_argument("--bootstrap", type=Path, metavar="PATH", help="an executable to deploy instead of building the artefact")
    world.set_defaults(run=run_emulate)

    # Listed here for the help alone.
    commands.add_parser("sam", help="the pinned sam: python3 infra/tools sam ARGUMENT…", add_help=False)
    tests = commands.add_parser("test", help="run the tests of this tool")
    tests.set_defaults(run=run_tests)
    return top


def run_build(options: argparse.Namespace) -> int:
    """`build`."""
    if options.twice:
        return run_build_twice(options)
    built = artefact.build(options.arch, options.quiet)
    if options.json:
        print_json(built.described())
    else:
        print(f"bootstrap for {built.architecture}, by {built.compiler}")
        print(f"{built.executable_bytes:>12,} bytes  sha256 {built.executable_sha256}  {built.executable}")
        print(f"{built.zip_bytes:>12,} bytes  sha256 {built.sha256}  {built.zip}")
        if built.zip.resolve() != (ROOT / artefact.CODE).resolve():
            print(f"the templates take {artefact.CODE}: copy the zip there before `sam build`")
    return complain(built.complaints(), "make it smaller: fewer features, or another opt-level in Cargo.toml's profile.lambda")


def run_build_twice(options: argparse.Namespace) -> int:
    """`build --twice`."""
    first, second = artefact.build_twice(options.arch, options.quiet)
    if options.json:
        print_json([first.described(), second.described()])
    else:
        for built in (first, second):
            print(f"{built.sha256}  {built.zip_bytes:,} bytes  {built.zip}")
    different = [] if first.sha256 == second.sha256 else ["two builds of the same files differ"]
    return complain(different, "compare the two with `cmp` and `strings`, and keep what differs out of the build")


def run_validate(options: argparse.Namespace) -> int:
    """`validate`."""
    verdicts = validate.validate(options.file)
    if options.json:
        print_json([verdict.described() for verdict in verdicts])
    else:
        print("\n".join(line for verdict in verdicts for line in verdict.lines()))
    return NOT_AS_IT_SHOULD_BE if any(verdict.findings for verdict in verdicts) else 0


def run_emulate(options: argparse.Namespace) -> int:
    """`emulate`."""
    environment.enter("sam")
    # So that what was made is taken away again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(COULD_NOT))
    parameters = {}
    for parameter in options.parameter:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise Problem(f"--parameter {parameter} has no =", "write it as --parameter NAME=VALUE")
        parameters[name] = value
    emulate.emulate(options.stack, parameters, options.bootstrap)
    return 0


def run_sam(arguments: list[str]) -> int:
    """`sam`, with its own arguments."""
    program = environment.program("sam", "sam")
    sys.stdout.flush()
    os.execve(program[0], [*program, *arguments], {"SAM_CLI_TELEMETRY": "0"} | environment.surroundings())


def run_tests(_: argparse.Namespace) -> int:
    """`test`."""
    suite = unittest.defaultTestLoader.discover(str(TOOLS / "tests"), top_level_dir=str(TOOLS))
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else NOT_AS_IT_SHOULD_BE


def complain(complaints: list[str], remedy: str) -> int:
    """Ends well when there is nothing to complain about."""
    if complaints:
        raise Problem("; ".join(complaints), remedy, NOT_AS_IT_SHOULD_BE)
    return 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Problem as problem:
        progress(f"error: {problem}")
        code = problem.code
    except KeyboardInterrupt:
        code = COULD_NOT
    sys.exit(code)
