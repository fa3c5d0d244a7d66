"""What an emulated stack was to have, and what it has.

`promised` comes from the translated templates alone, less the resources whose condition does not hold. `resources` are
those that CloudFormation lists and, for the types of `SERVICES`, that the service itself knows too: the emulator lists some
types that it never made and skips others silently, while the stack says CREATE_COMPLETE. `functions` is what Lambda and IAM
answer, not what a template says.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

import emulator
from translation import Template

STACK = "AWS::CloudFormation::Stack"
FUNCTION = "AWS::Lambda::Function"

# By type: the service to ask, the operation that lists, the key of the list, and of the physical id in an entry (none: the
# entry is the id).
SERVICES = {
    FUNCTION: ("lambda", "list_functions", "Functions", "FunctionName"),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "AWS::DynamoDB::Table": ("dynamodb", "list_tables", "TableNames", None),
    "AWS::IAM::ManagedPolicy": ("iam", "list_policies", "Policies", "Arn"),
    "AWS::IAM::Role": ("iam", "list_roles", "Roles", "RoleName"),
    "AWS::Logs::LogGroup": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "AWS::SQS::Queue": ("sqs", "list_queues", "QueueUrls", None),
}


@dataclass(frozen=True)
class Deployed:
    """A template and the stack that was made of it."""

    template: Template
    # The root's name; of a nested one the logical ids that lead to it.
    name: str
    physical_id: str
    listed: list[dict[str, str]]


def of_stack(session: Any, stack: str, root: Template) -> dict[str, Any]:
    """What was promised, what exists, and the functions by logical id."""
    stacks = list(deployed(session.client("cloudformation"), root, stack, stack))
    resources = [resource for each in stacks for resource in existing(session, each)]
    functions = {
        resource["logical_id"]: function(session, resource["physical_id"]) for resource in resources if resource["type"] == FUNCTION
    }
    return {
        "promised": [resource for each in stacks for resource in promised(each)],
        "resources": resources,
        "functions": functions,
    }


def deployed(client: Any, template: Template, name: str, physical_id: str) -> Iterator[Deployed]:
    """A stack and those below it, as far as they were made."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=physical_id)
    listed = [resource for page in pages for resource in page["StackResourceSummaries"]]
    yield Deployed(template, name, physical_id, listed)
    made = {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in listed}
    for child in template.nested:
        child_name = child.logical_id if template.logical_id == "" else f"{name}/{child.logical_id}"
        if made.get(child.logical_id):
            yield from deployed(client, child, child_name, made[child.logical_id])


def promised(stack: Deployed) -> Iterator[dict[str, str]]:
    """The resources of a translated template whose condition holds."""
    holds = emulator.conditions(stack.physical_id)
    for logical_id, resource in stack.template.document["Resources"].items():
        if "Condition" not in resource or holds(resource["Condition"]):
            yield {"stack": stack.name, "logical_id": logical_id, "type": resource["Type"]}


def existing(session: Any, stack: Deployed) -> Iterator[dict[str, str]]:
    """The listed resources that exist."""
    known: dict[str, set[str]] = {}
    for resource in stack.listed:
        kind, physical_id = resource["ResourceType"], resource.get("PhysicalResourceId")
        if kind in SERVICES and kind not in known:
            known[kind] = known_to_service(session, kind)
        if physical_id and (kind not in SERVICES or comparable(physical_id) in known[kind]):
            yield {
                "stack": stack.name,
                "logical_id": resource["LogicalResourceId"],
                "physical_id": physical_id,
                "type": kind,
            }


def known_to_service(session: Any, kind: str) -> set[str]:
    """The physical ids of all resources of a type, by the service that has them."""
    service, operation, entries, key = SERVICES[kind]
    client = session.client(service)
    pages = client.get_paginator(operation).paginate() if client.can_paginate(operation) else [getattr(client, operation)()]
    return {comparable(entry[key] if key else entry) for page in pages for entry in page.get(entries, [])}


def comparable(physical_id: str) -> str:
    """A physical id without the host that a queue's has in front: the emulator's own is not AWS's."""
    return urlparse(physical_id).path if physical_id.startswith("http") else physical_id


def function(session: Any, name: str) -> dict[str, Any]:
    """A function as Lambda knows it, and what its role may do, as IAM knows that."""
    answer = session.client("lambda").get_function(FunctionName=name)
    settings = answer["Configuration"]
    return {
        "name": settings["FunctionName"],
        "handler": settings["Handler"],
        "runtime": settings["Runtime"],
        "memory": settings["MemorySize"],
        "timeout": settings["Timeout"],
        "architectures": settings["Architectures"],
        "environment": settings.get("Environment", {}).get("Variables", {}),
        "code_sha256": settings["CodeSha256"],
        "tags": answer.get("Tags", {}),
        "role": settings["Role"],
        "policies": policies(session.client("iam"), settings["Role"].rpartition("/")[2]),
    }


def policies(client: Any, role: str) -> list[dict[str, Any]]:
    """The policy documents of a role, inline ones and attached ones."""
    documents = [
        as_document(client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for name in client.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for attached in client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = client.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        policy = client.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        documents.append(policy["PolicyVersion"]["Document"])
    return documents


def as_document(policy: dict[str, Any] | str) -> dict[str, Any]:
    """A policy document; the emulator gives an inline one of a template as Python would print it."""
    return ast.literal_eval(policy) if isinstance(policy, str) else policy
