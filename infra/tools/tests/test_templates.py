"""Reports of the checkers, and templates that nest others, on small examples."""

import unittest
from pathlib import Path
from unittest import mock

import inventory
import translation
import validate

APPLICATION = {"Type": "AWS::Serverless::Application"}


class ReportTest(unittest.TestCase):
    """What the checkers print becomes one verdict a file."""

    def test_a_finding_of_cfn_lint_stands_with_its_file_and_line(self):
        finding = {
            "Filename": "infra/state.yaml",
            "Location": {"Start": {"LineNumber": 7}},
            "Rule": {"Id": "E3012"},
            "Message": "'x' is not a number",
        }
        fine, bad = validate.by_cfn_lint_report(["template.yaml", "infra/state.yaml"], [finding])
        self.assertEqual(fine.findings, [])
        self.assertEqual(bad.findings, ["line 7: E3012 'x' is not a number"])

    def test_checkov_may_report_one_part_or_a_list_of_parts_and_a_file_that_it_cannot_read(self):
        failed = {
            "file_path": "/infra/state.yaml",
            "file_line_range": [3, 9],
            "check_id": "CKV_AWS_28",
            "resource": "AWS::DynamoDB::Table.Table",
            "check_name": "backup",
        }
        passed = {"file_path": "/template.yaml"}
        results = {"failed_checks": [failed], "passed_checks": [passed], "skipped_checks": [passed], "parsing_errors": ["/broken.yaml"]}
        names = ["template.yaml", "infra/state.yaml", "broken.yaml"]
        for document in ({"results": results}, [{"results": results}]):
            root, state, broken = validate.by_checkov_report(names, document)
            self.assertEqual((root.findings, root.remark), ([], "1 passed, 1 accepted with a reason"))
            self.assertEqual(state.findings, ["lines 3 to 9: CKV_AWS_28 AWS::DynamoDB::Table.Table: backup"])
            self.assertEqual(broken.findings, ["cannot be read"])

    def test_checkov_without_a_single_resource_to_look_at_is_no_finding(self):
        (verdict,) = validate.by_checkov_report(["a.yaml"], {"passed": 0, "failed": 0})
        self.assertEqual((verdict.findings, verdict.remark), ([], "0 passed, 0 accepted with a reason"))

    def test_checkov_may_write_a_path_from_the_root_or_from_anywhere(self):
        names = ["infra/a.yaml", "/elsewhere/b.yaml"]
        up = "/" + "../" * len(validate.ROOT.parents)
        written = ["/infra/a.yaml", f"{validate.ROOT}/infra/a.yaml", f"{up}elsewhere/b.yaml", "/elsewhere/b.yaml"]
        self.assertEqual([validate.given(names, path) for path in written], [names[0], names[0], names[1], names[1]])

    def test_a_verdict_is_one_line_and_one_more_for_each_finding(self):
        self.assertEqual(len(validate.Verdict("a.yaml", "sam").lines()), 1)
        self.assertEqual(len(validate.Verdict("a.yaml", "sam", ["x", "y"]).lines()), 3)


class NestingTest(unittest.TestCase):
    """Nested templates, two deep."""

    SOURCES = {
        "template.yaml": {"Resources": {"State": APPLICATION | {"Properties": {"Location": "infra/state.yaml"}}}},
        "infra/state.yaml": {"Resources": {"Table": APPLICATION | {"Properties": {"Location": "deep/table.yaml"}}}},
        "infra/deep/table.yaml": {"Resources": {"Leaf": {"Type": "AWS::DynamoDB::Table"}}},
    }
    PACKAGED = {
        "": {"Resources": {"State": APPLICATION | {"Properties": {"Location": "http://s3/1"}}}},
        "http://s3/1": {"Resources": {"Table": APPLICATION | {"Properties": {"Location": "http://s3/2"}}}},
        "http://s3/2": {"Resources": {"Leaf": {"Type": "AWS::DynamoDB::Table"}}},
    }

    def translated(self) -> translation.Template:
        """The packaged templates, which have nothing to translate but are put together."""
        root = Path("/clone")
        with mock.patch.object(translation, "source", lambda path: self.SOURCES[str(path.relative_to(root))]):
            return translation.translate(self.PACKAGED[""], root, self.PACKAGED.__getitem__)

    def test_each_template_is_known_by_its_file_and_by_its_place_in_the_outer_one(self):
        known = [(template.file, template.logical_id) for template in self.translated().all()]
        self.assertEqual(known, [("template.yaml", ""), ("infra/state.yaml", "State"), ("infra/deep/table.yaml", "Table")])

    def test_the_inner_ones_are_uploaded_first_and_named_in_the_outer_ones(self):
        uploaded: list[str] = []

        def upload(name: str, _: str) -> str:
            uploaded.append(name)
            return f"http://here/{name}"

        template = self.translated()
        self.assertEqual(translation.publish(template, upload), "http://here/template.json")
        self.assertEqual(uploaded, ["infra-deep-table.json", "infra-state.json", "template.json"])
        self.assertEqual(template.document["Resources"]["State"]["Properties"]["TemplateURL"], "http://here/infra-state.json")


class InventoryTest(unittest.TestCase):
    """Answers of the emulator."""

    def test_a_queue_is_the_same_under_the_host_of_aws_and_of_the_emulator(self):
        by_aws, by_emulator = "https://sqs.us-east-1.amazonaws.com/1/q", "http://127.0.0.1:4000/1/q"
        self.assertEqual(inventory.comparable(by_aws), inventory.comparable(by_emulator))
        self.assertNotEqual(inventory.comparable(by_aws), inventory.comparable(by_emulator + "2"))
        self.assertEqual(inventory.comparable("/aws/lambda/a"), "/aws/lambda/a")

    def test_a_policy_is_a_document_in_whichever_form_it_comes(self):
        document = {"Statement": [{"Effect": "Allow", "Resource": "it's"}]}
        self.assertEqual(inventory.as_document(str(document)), document)
        self.assertEqual(inventory.as_document(document), document)
