"""The emulated AWS: moto in this process, on a free port, and what it lacks.

moto nests stacks, but an outer stack cannot read the outputs of an inner one; its CloudFormation overlooks a function's
architectures and tags; and CloudFormation itself has no call that says whether a condition holds. All that is answered here
from moto's own objects, which is why it runs in this process and not in a child.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REGION = "us-east-1"
# It asks for credentials and looks at none.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "emulated", "AWS_SECRET_ACCESS_KEY": "emulated"}
OUTPUTS = "Outputs."


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """An AWS of this process, on a free port; the environment leads to it, and to no other."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= CREDENTIALS | {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        # sam's own notes go away with the rest.
        "__SAM_CLI_APP_DIR": str(folder / "sam"),
        "SAM_CLI_TELEMETRY": "0",
    }
    from moto.server import ThreadedMotoServer

    let_stacks_read_outputs()
    let_functions_keep_all_settings()
    # What it does not create is told by the comparison of what exists with what is promised.
    warnings.simplefilter("ignore")
    for name in ("moto", "werkzeug"):
        logging.getLogger(name).setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
        yield os.environ["AWS_ENDPOINT_URL"]
    finally:
        server.stop()


def let_stacks_read_outputs() -> None:
    """Gives moto's stacks the attributes `Outputs.NAME`."""
    from moto.cloudformation.models import Stack

    def get_cfn_attribute(stack: Any, attribute: str) -> Any:
        return stack.output_map[attribute.removeprefix(OUTPUTS)].value

    Stack.get_cfn_attribute = get_cfn_attribute


def let_functions_keep_all_settings() -> None:
    """Gives moto's functions the architectures and the tags that a template says."""
    from moto.awslambda.models import LambdaFunction

    create = LambdaFunction.create_from_cloudformation_json

    def create_with_all(name: str, resource: dict[str, Any], *arguments: Any, **more: Any) -> Any:
        function = create(name, resource, *arguments, **more)
        properties = resource["Properties"]
        function.architectures = properties.get("Architectures", function.architectures)
        function.tags |= {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        return function

    LambdaFunction.create_from_cloudformation_json = create_with_all


def conditions(physical_id: str) -> Callable[[str], bool]:
    """Whether a condition of a stack holds, by its name."""
    from moto.cloudformation.models import cloudformation_backends

    for account in cloudformation_backends.values():
        for region in account.values():
            for stack in region.stacks.values():
                if physical_id in (stack.name, stack.stack_id):
                    return lambda name: bool(stack.resource_map.lazy_condition_map[name])
    raise LookupError(f"the emulator has no stack {physical_id}")
