"""What we publish, against the schemas of the standards themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest
import yaml

from tests.scripts.test_workflows import WORKFLOWS
from tests.system.openapi.document import OPENAPI, SCHEMAS, operations


def test_the_document_is_openapi_3_1() -> None:
    assert OPENAPI["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(OPENAPI, cls=openapi_spec_validator.OpenAPIV31SpecValidator)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_of_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_example_is_what_its_schema_describes() -> None:
    count = 0
    for operation in operations():
        for content in operation.told.get("requestBody", {}).get("content", {}).values():
            for example in content.get("examples", {}).values():
                validator(content["schema"]).validate(example["value"])
                count += 1
    assert count > 5


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_gives_its_jobs_no_more_than_it_says(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    writers = {name for name, job in workflow["jobs"].items() if "permissions" in job}
    assert writers <= {"publish"}
    for job in workflow["jobs"].values():
        assert job.get("timeout-minutes", 0) <= 90
        for step in job.get("steps", ()):
            assert set(step) <= {"name", "uses", "with", "run", "env"}
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def validator(schema: Any) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": OPENAPI["components"]})
