"""What the tool says, and where.

Results go to standard output: lines for people, or one JSON document with `--json`. Everything on the way goes to standard
error. The tool adds no colours, so a pipe and a terminal get the same.

Exit codes: 0 done; 1 what was looked at is not as it should be; 2 it could not be looked at.
"""

import json
import sys
from typing import Any

NOT_AS_IT_SHOULD_BE = 1
COULD_NOT = 2


class Problem(Exception):
    """The end of a command: the thing that is wrong, the remedy, and the exit code that it means."""

    def __init__(self, thing: str, remedy: str, code: int = COULD_NOT) -> None:
        super().__init__(f"{thing}\n  remedy: {remedy}")
        self.code = code


def progress(message: str) -> None:
    """Tells whoever waits what is done now."""
    print(message, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """One JSON document on one line of standard output."""
    print(json.dumps(document, sort_keys=True, default=str), flush=True)


def last_lines(output: str, count: int = 15) -> str:
    """The end of what a child said, which is where it says why it gave up."""
    return "\n".join(output.strip().splitlines()[-count:])
