"""Looks at every template file with three tools, side by side, without the network.

`sam validate --lint` translates a template as AWS would, and takes one file at a time: a root does not look at what it nests.
cfn-lint knows the types and their properties, checkov the practices of security; both take all files in one run.
"""

import json
import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import environment
from console import Problem, last_lines, progress
from workspace import ROOT, target_folder, templates

REGION = "us-east-1"


@dataclass
class Verdict:
    """What one tool says of one file: nothing, or what it found."""

    file: str
    tool: str
    findings: list[str] = field(default_factory=list)
    remark: str = ""

    def described(self) -> dict[str, object]:
        """As a JSON document."""
        return asdict(self)

    def lines(self) -> list[str]:
        """As lines for people."""
        state = f"{len(self.findings)} found" if self.findings else "fine"
        remark = f" ({self.remark})" if self.remark else ""
        return [f"{self.file:28} {self.tool:12} {state}{remark}", *(f"    {finding}" for finding in self.findings)]


def validate(files: list[Path]) -> list[Verdict]:
    """All verdicts, by file and tool."""
    files = files or templates()
    if not files:
        raise Problem(f"there is no template in {ROOT}", "name the files to look at")
    for file in files:
        if not (ROOT / file).is_file():
            raise Problem(f"there is no {ROOT / file}", "name files as seen from the root of the repository")
    names = [str(file) for file in files]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as workers:
        list(workers.map(environment.ready, ["sam", "checkov"]))
        progress(f"looking at {len(files)} templates with sam, cfn-lint and checkov")
        # The slowest first.
        by_checkov = workers.submit(checkov, names)
        by_cfn_lint = workers.submit(cfn_lint, names)
        by_sam: list[Future[Verdict]] = [workers.submit(sam_validate, name) for name in names]
    verdicts = [*by_checkov.result(), *by_cfn_lint.result(), *(verdict.result() for verdict in by_sam)]
    return sorted(verdicts, key=lambda verdict: (names.index(verdict.file), verdict.tool))


def sam_validate(name: str) -> Verdict:
    """One file by `sam validate --lint`."""
    outcome = run("sam", "sam", ["validate", "--lint", "--template", name])
    said = last_lines(outcome.stdout + outcome.stderr, 40).splitlines()
    return Verdict(name, "sam", [] if outcome.returncode == 0 else said)


def cfn_lint(names: list[str]) -> list[Verdict]:
    """All files by cfn-lint."""
    outcome = run("sam", "cfn-lint", ["--format", "json", "--", *names])
    return by_cfn_lint_report(names, report(outcome, "cfn-lint"))


def checkov(names: list[str]) -> list[Verdict]:
    """All files by checkov."""
    files = [argument for name in names for argument in ("--file", name)]
    options = ["--framework", "cloudformation", "--output", "json", "--compact", "--skip-download"]
    outcome = run("checkov", "checkov", [*files, *options])
    return by_checkov_report(names, report(outcome, "checkov"))


def by_cfn_lint_report(names: list[str], findings: list[dict]) -> list[Verdict]:
    """cfn-lint's findings, by file."""
    verdicts = {name: Verdict(name, "cfn-lint") for name in names}
    for finding in findings:
        line = finding["Location"]["Start"]["LineNumber"]
        verdicts[finding["Filename"]].findings.append(f"line {line}: {finding['Rule']['Id']} {finding['Message']}")
    return list(verdicts.values())


def by_checkov_report(names: list[str], document: dict | list) -> list[Verdict]:
    """checkov's findings, by file; an accepted one is counted, a file it cannot read is a finding."""
    verdicts = {name: Verdict(name, "checkov") for name in names}
    counts = {name: {"passed": 0, "skipped": 0} for name in names}
    # A list if there are several frameworks; without any resource to look at, there are no results.
    for part in document if isinstance(document, list) else [document]:
        results = part.get("results", {})
        for check in results.get("failed_checks", []):
            first, last = check["file_line_range"]
            finding = f"lines {first} to {last}: {check['check_id']} {check['resource']}: {check['check_name']}"
            verdicts[given(names, check["file_path"])].findings.append(finding)
        for kind in ("passed", "skipped"):
            for check in results.get(f"{kind}_checks", []):
                counts[given(names, check["file_path"])][kind] += 1
        for file in results.get("parsing_errors", []):
            verdicts[given(names, file)].findings.append("cannot be read")
    for name, verdict in verdicts.items():
        verdict.remark = f"{counts[name]['passed']} passed, {counts[name]['skipped']} accepted with a reason"
    return list(verdicts.values())


def given(names: list[str], path: str) -> str:
    """A path as checkov writes it, from the root with a slash before it or absolute, as it was given."""
    files = {os.path.normpath(ROOT / name): name for name in names}
    from_root = os.path.normpath(ROOT / path.lstrip("/"))
    return files[from_root] if from_root in files else files[os.path.normpath(path)]


def report(outcome: subprocess.CompletedProcess[str], tool: str) -> list | dict:
    """The JSON that a tool printed."""
    try:
        return json.loads(outcome.stdout)
    except json.JSONDecodeError:
        said = last_lines(outcome.stdout + outcome.stderr)
        raise Problem(f"{tool} gave no report:\n{said}", "look at what it says above") from None


def run(environment_name: str, tool: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A tool, in the root of the repository."""
    program = environment.program(environment_name, tool)
    variables = environment.surroundings() | {
        "AWS_DEFAULT_REGION": REGION,
        "NO_COLOR": "1",
        "SAM_CLI_TELEMETRY": "0",
        # Where sam leaves notes to itself.
        "__SAM_CLI_APP_DIR": str(target_folder() / "tools" / "sam-notes"),
        "LOG_LEVEL": "ERROR",
    }
    return subprocess.run([*program, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
