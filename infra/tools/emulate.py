"""The stack in an emulated AWS: what `sam build`, `sam package` and CloudFormation make of the templates.

moto plays S3, CloudFormation and everything that is created; sam packages into it as it would into AWS. CloudFormation's
own part, the translation of a SAM template, is done by AWS's translator, template by template, because moto has none.
Standard output is one line of JSON about what exists then; the emulator stays until standard input ends, and takes
everything with it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import artefact
import emulator
import environment
import inventory
import translation
from console import NOT_AS_IT_SHOULD_BE, Problem, last_lines, print_json, progress
from workspace import ROOT, target_folder, templates

# What sam uploads, and apart from it what is uploaded here.
PACKAGES = "packages"
TRANSLATED = "translated"


@dataclass(frozen=True)
class Code:
    """What is deployed."""

    zip: bytes
    executable_bytes: int
    sha256: str


def emulate(stack: str, parameters: dict[str, str], bootstrap: Path | None) -> None:
    """Creates the stack, says what exists, and stays until standard input ends."""
    if not (ROOT / "template.yaml").is_file():
        raise Problem(f"there is no {ROOT / 'template.yaml'}", "run it in a complete clone")
    code = code_of(bootstrap)
    scratch = target_folder() / "tools"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="emulate-", dir=scratch) as folder, emulator.running(Path(folder)) as endpoint:
        print_json(created(Path(folder), endpoint, stack, parameters, code))
        progress(f"the stack {stack} is at {endpoint} until standard input ends")
        sys.stdin.buffer.read()


def created(folder: Path, endpoint: str, stack: str, parameters: dict[str, str], code: Code) -> dict[str, Any]:
    """Packages, translates and creates; gives what the caller is told."""
    import boto3  # Of the environment `sam`, in which this runs.

    session = boto3.Session(region_name=emulator.REGION)
    storage = session.client("s3")
    for bucket in (PACKAGES, TRANSLATED):
        storage.create_bucket(Bucket=bucket)
    packaged = package(folder, code)
    progress("translating the templates")
    root = translation.translate(packaged, ROOT, lambda url: stored_template(storage, url))
    secrets = create_secrets(session.client("secretsmanager"), stack, root.document)
    progress(f"creating the stack {stack}")
    url = translation.publish(root, lambda name, body: put_template(storage, endpoint, name, body))
    create_stack(session.client("cloudformation"), stack, url, secrets | parameters)
    exists = inventory.of_stack(session, stack, root)
    uploads = storage.list_objects_v2(Bucket=PACKAGES).get("Contents", [])
    return exists | {
        "endpoint": endpoint,
        "region": emulator.REGION,
        "account": session.client("sts").get_caller_identity()["Account"],
        "stack": stack,
        "secrets": secrets,
        "translated": {template.file: template.document for template in root.all()},
        "uploads": [{"key": entry["Key"], "bytes": entry["Size"]} for entry in uploads],
        "artefact": {"zip_bytes": len(code.zip), "executable_bytes": code.executable_bytes, "sha256": code.sha256},
    }


def code_of(bootstrap: Path | None) -> Code:
    """The artefact, built if need be; or an executable of the caller's, packed in the same way."""
    if bootstrap is None:
        built = artefact.build(quiet=True)
        return Code(built.zip.read_bytes(), built.executable_bytes, built.sha256)
    if not bootstrap.is_file():
        raise Problem(f"there is no executable {bootstrap}", "name one with --bootstrap, or leave it out to build the artefact")
    content = bootstrap.read_bytes()
    packed = artefact.zipped(content)
    return Code(packed, len(content), artefact.sha256(packed))


def package(folder: Path, code: Code) -> dict[str, Any]:
    """The root template as `sam build` and `sam package` leave it, everything it names uploaded."""
    clone = folder / "clone"
    for name in [*templates(), Path("samconfig.toml")]:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    (clone / artefact.CODE).parent.mkdir(parents=True)
    (clone / artefact.CODE).write_bytes(code.zip)
    progress("sam build, sam package")
    run_sam(clone, ["build"])
    output = folder / "packaged.json"
    run_sam(clone, ["package", "--s3-bucket", PACKAGES, "--use-json", "--output-template-file", str(output)])
    return json.loads(output.read_text())


def run_sam(clone: Path, arguments: list[str]) -> None:
    """A command of sam in a copy of the clone."""
    sam = environment.program("sam", "sam")
    outcome = subprocess.run([*sam, *arguments], cwd=clone, env=environment.surroundings(), capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        said = last_lines(outcome.stdout + outcome.stderr)
        remedy = "look at what sam says above"
        if "CodeUri" in said:
            remedy = f"name {artefact.CODE} as CodeUri of each function: sam build does not adapt the one of Globals to its own folder"
        raise Problem(f"sam {arguments[0]} failed:\n{said}", remedy, NOT_AS_IT_SHOULD_BE)


def create_secrets(client: Any, stack: str, template: dict[str, Any]) -> dict[str, str]:
    """A secret for each parameter of the root template that takes one; its ARN by the parameter's name."""
    names = [name for name in template["Parameters"] if name.endswith("Secret")]
    return {name: client.create_secret(Name=f"{stack}/{name}", SecretString="{}")["ARN"] for name in names}


def create_stack(client: Any, stack: str, url: str, parameters: dict[str, str]) -> None:
    """Creates the stack; the emulator is done when it answers."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        client.create_stack(
            StackName=stack,
            TemplateURL=url,
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        status = client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    # The last one is what the emulator's own failure looks like.
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        cause = str(error).splitlines()[0]
        raise Problem(f"the stack {stack} cannot be created: {cause}", "mend the template; the emulator says more above") from None
    if status != "CREATE_COMPLETE":
        raise Problem(f"the stack {stack} is {status}", "mend the template; the emulator says more above", NOT_AS_IT_SHOULD_BE)


def stored_template(storage: Any, url: str) -> dict[str, Any]:
    """A nested template that sam uploaded, by the address it gave it."""
    from samcli.yamlhelper import yaml_parse

    key = url.rpartition("/")[2]
    return yaml_parse(storage.get_object(Bucket=PACKAGES, Key=key)["Body"].read().decode())


def put_template(storage: Any, endpoint: str, name: str, body: str) -> str:
    """Uploads a translated template; gives its address in the form that the emulator can read."""
    storage.put_object(Bucket=TRANSLATED, Key=name, Body=body.encode())
    return f"{endpoint.replace('127.0.0.1', 'localhost')}/{TRANSLATED}/{name}"
