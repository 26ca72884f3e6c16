"""What `osls package` wrote: the CloudFormation template, read as the tests ask for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGION = "eu-central-1"


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    function: str
    """The function's logical id."""
    integration: dict[str, Any]


class Template:
    def __init__(self, file: Path) -> None:
        self.text = file.read_text()
        self.all: dict[str, Any] = json.loads(self.text)
        self.resources: dict[str, Any] = self.all["Resources"]

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of every resource of that type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    @property
    def functions(self) -> dict[str, Any]:
        return self.of_type("AWS::Lambda::Function")

    def function(self, name: str) -> dict[str, Any]:
        """The function that serverless.yml calls so."""
        found: dict[str, Any] = self.functions[f"{name[0].upper()}{name[1:]}LambdaFunction"]
        return found

    def environ(self, name: str, *, table: str) -> dict[str, str]:
        """A function's environment, as CloudFormation would fill it in."""
        variables = self.function(name).get("Environment", {}).get("Variables", {})
        return {key: self._resolve(value, table) for key, value in variables.items()}

    def _resolve(self, value: Any, table: str) -> str:
        match value:
            case str():
                return value
            case {"Ref": "AWS::Region"}:
                return REGION
            case {"Ref": "StateTable"}:
                return table
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(self._resolve(part, table) for part in parts)
        raise AssertionError(f"cannot resolve {value!r}")

    @property
    def routes(self) -> list[Route]:
        methods = self.of_type("AWS::ApiGateway::Method").values()
        return [
            Route(
                method["HttpMethod"],
                self._path(method["ResourceId"]),
                self._target(method["Integration"]),
                method["Integration"],
            )
            for method in methods
        ]

    def _path(self, reference: Any) -> str:
        if "Ref" not in reference:  # the API's own root
            return "/"
        resource = self.resources[reference["Ref"]]["Properties"]
        return f"{self._path(resource['ParentId']).rstrip('/')}/{resource['PathPart']}"

    @staticmethod
    def _target(integration: dict[str, Any]) -> str:
        parts = integration["Uri"]["Fn::Join"][1]
        (name,) = [part["Fn::GetAtt"][0] for part in parts if isinstance(part, dict) and "Fn::GetAtt" in part]
        return str(name)

    def route_of(self, path: str) -> Route:
        """Find as API Gateway does: the most of fixed parts wins, {proxy+} takes what is left."""
        wanted = path.strip("/").split("/")

        def score(route: Route) -> int:
            parts = route.path.strip("/").split("/")
            fixed = [part for part in parts if part != "{proxy+}"]
            if wanted[: len(fixed)] != fixed:
                return -1
            if len(fixed) < len(parts):
                return 2 * len(fixed) if len(wanted) > len(fixed) else -1
            return 2 * len(fixed) + 1 if len(wanted) == len(fixed) else -1

        best = max(self.routes, key=score)
        assert score(best) >= 0, f"no route for {path}"
        return best
