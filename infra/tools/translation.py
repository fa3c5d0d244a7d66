"""A SAM template and those it nests, as CloudFormation would see them.

AWS's own translator turns serverless resources into plain ones. Each template is translated by itself, as AWS does it; then
the addresses of the nested ones are those of their translations, from the innermost outwards.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console import NOT_AS_IT_SHOULD_BE, Problem

APPLICATION = "AWS::Serverless::Application"


@dataclass
class Template:
    """A translated template: its file, its logical id in the one that nests it, what it nests."""

    file: str
    logical_id: str
    document: dict[str, Any]
    nested: list["Template"]

    def all(self) -> Iterator["Template"]:
        """It and all below it."""
        yield self
        for child in self.nested:
            yield from child.all()


def translate(packaged: dict[str, Any], root: Path, fetch: Callable[[str], dict[str, Any]]) -> Template:
    """Translates the packaged root template; `fetch` gives a packaged nested one by its address."""
    return translate_one(packaged, root, Path("template.yaml"), "", fetch)


def translate_one(
    packaged: dict[str, Any], root: Path, file: Path, logical_id: str, fetch: Callable[[str], dict[str, Any]]
) -> Template:
    """A template and what it nests."""
    nested = []
    for child_id, location in applications(packaged).items():
        # Only the source still names the file.
        child_file = file.parent / applications(source(root / file))[child_id]
        nested.append(translate_one(fetch(location), root, child_file, child_id, fetch))
    return Template(str(file), logical_id, plain(packaged, file), nested)


def applications(document: dict[str, Any]) -> dict[str, str]:
    """The nested templates of a template: where each is, by logical id."""
    resources = document["Resources"].items()
    return {name: resource["Properties"]["Location"] for name, resource in resources if resource["Type"] == APPLICATION}


def source(path: Path) -> dict[str, Any]:
    """A template as it was written."""
    from samcli.yamlhelper import yaml_parse

    return yaml_parse(path.read_text())


def plain(document: dict[str, Any], file: Path) -> dict[str, Any]:
    """A template without anything serverless in it."""
    # Without this line AWS does not translate either.
    if "Transform" not in document:
        return document
    from samtranslator.public.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    try:
        translated = transform(json.loads(json.dumps(document)), {}, NoManagedPolicies())
    except InvalidDocumentException as refusal:
        causes = "\n".join(f"  {cause.message}" for cause in refusal.causes)
        raise Problem(f"{file} cannot be translated:\n{causes}", "mend the template", NOT_AS_IT_SHOULD_BE) from None
    return json.loads(json.dumps(translated))


class NoManagedPolicies:
    """The translator looks up policies of AWS by name; no template uses one, so there are none."""

    def load(self) -> dict[str, str]:
        """Their ARNs by name."""
        return {}


def publish(template: Template, upload: Callable[[str, str], str]) -> str:
    """Uploads a template after those it nests, each under the address of its translation; gives its own address."""
    for child in template.nested:
        properties = template.document["Resources"][child.logical_id]["Properties"]
        properties["TemplateURL"] = publish(child, upload)
    return upload(template.file.replace("/", "-").removesuffix(".yaml") + ".json", json.dumps(template.document))
