"""What `scripts/deploy-aws package` makes, without an account: the template and the two zips."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from hosts.box.mounting import function_files, load
from hosts.routes import ENDPOINTS
from tests.scripts.test_requirements import PIN, pins
from tests.system.deploy.aws.conftest import Package, copy_service, without_aws
from tests.system.deploy.aws.template import Template
from tests.system.deploy.conftest import ROOT

LEFT_OUT = {"buffered": {"pillow"}, "streaming": {"pillow", "mangum"}, "videos": {"mangum"}}
BUFFERED = ("index", "health", "token", "embeddings")
STREAMING = (
    "audio", "chatCompletions", "gemini", "imagesGenerations", "messages", "models", "responses", "videos"
)  # fmt: skip
ACCOUNT = ("CHATGLM_REFRESH_TOKENS", "API_KEYS", "STORE_SECRET", "STORE_URL")
API_FILES = sorted(path.relative_to(ROOT).as_posix() for path in function_files(ROOT / "api"))


def file_of(template: Template, function: str) -> str:
    """The file of api/ that a function serves."""
    properties = template.functions[function]
    endpoint = properties.get("Environment", {}).get("Variables", {}).get("ENDPOINT")
    if endpoint:
        return str(endpoint)
    from hosts.aws import handlers

    module, _, name = properties["Handler"].rpartition(".")
    assert module == "hosts/aws/handlers"
    return handlers.MODULES[name].replace(".", "/") + ".py"


def test_cloudformation_has_nothing_to_say_against_it(package: Package, tools: Path) -> None:
    file = package.project / ".serverless/cloudformation-template-update-stack.json"
    lint = [tools / "lint/bin/cfn-lint", file]
    done = subprocess.run(lint, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_only_the_deployer_reads_what_holds_the_secrets(package: Package) -> None:
    folder = package.project / ".serverless"
    assert {path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*")]} == {0}


def test_each_file_of_api_is_one_function(package: Package) -> None:
    files = [file_of(package.template, function) for function in package.template.functions]
    assert sorted(files) == API_FILES


@pytest.mark.parametrize("file", API_FILES)
def test_every_route_of_a_file_leads_to_its_function(package: Package, file: str) -> None:
    for route in load(ROOT / file).router.routes:
        path = re.sub(r"\{.*?\}", "x1", getattr(route, "path", ""))
        if path in ("/index", "/api/index"):  # a path that only Vercel's router uses
            continue
        found = package.template.route_of(path)
        assert found.method == "ANY"  # OPTIONS and the 405 of a wrong method are the app's own
        assert file_of(package.template, found.function) == file, path


def test_a_path_without_its_version_leads_to_the_function(package: Package) -> None:
    for endpoint in ENDPOINTS:
        for path in endpoint.bare_paths:
            found = package.template.route_of(path.replace("*", "x1"))
            assert file_of(package.template, found.function) == endpoint.file, path


def test_what_nobody_knows_goes_to_the_index(package: Package) -> None:
    for path in ("/nowhere", "/v1", "/v1/nowhere", "/v1/chat", "/v2/models"):
        found = package.template.route_of(path)
        assert file_of(package.template, found.function) == "api/index.py", path


def test_streaming_routes_stream_and_the_others_do_not(package: Package) -> None:
    for route in package.template.routes:
        uri = str(route.integration["Uri"])
        if file_of(package.template, route.function) in {
            file_of(package.template, f"{name[0].upper()}{name[1:]}LambdaFunction") for name in STREAMING
        }:
            assert route.integration["ResponseTransferMode"] == "STREAM"
            assert "/response-streaming-invocations" in uri
            assert "2021-11-15" in uri
            assert route.integration["TimeoutInMillis"] == 900_000
        else:
            assert "ResponseTransferMode" not in route.integration
            assert "/invocations" in uri
        assert route.integration["Type"] == "AWS_PROXY"


def test_one_regional_api_serves_them_all(package: Package) -> None:
    (api,) = package.template.of_type("AWS::ApiGateway::RestApi").values()
    # Edge-optimized would end a stream that is silent for 30 s.
    assert api["EndpointConfiguration"]["Types"] == ["REGIONAL"]
    assert api["BinaryMediaTypes"] == ["multipart/form-data", "application/octet-stream"]
    assert not package.template.of_type("AWS::ApiGatewayV2::Api")
    assert not package.template.of_type("AWS::Lambda::Url")


@pytest.mark.parametrize("name", [*BUFFERED, *STREAMING])
def test_a_function_is_what_was_chosen(package: Package, name: str) -> None:
    function = package.template.function(name)
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["x86_64"]
    assert function["MemorySize"] == (256 if name == "index" else 1024)
    # A refresh is three calls of up to 20 s, and must end after API Gateway has given up waiting for it.
    refreshes = name in ("health", "token")
    assert function["Timeout"] == (900 if name in STREAMING else 120 if refreshes else 29)
    assert "ReservedConcurrentExecutions" not in function
    zipped = "videos" if name == "videos" else "streaming" if name in STREAMING else "buffered"
    assert function["Code"]["S3Key"].endswith(f"{zipped}.zip")


@pytest.mark.parametrize("name", STREAMING)
def test_a_streaming_function_is_behind_the_web_adapter(package: Package, name: str) -> None:
    function = package.template.function(name)
    variables = function["Environment"]["Variables"]
    assert function["Handler"] == "hosts/aws/run.sh"
    assert function["Layers"] == [
        {"Fn::Sub": "arn:aws:lambda:${AWS::Region}:753240598075:layer:LambdaAdapterLayerX86:27"}
    ]
    assert {key: value for key, value in variables.items() if key.startswith("AWS_")} == {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_PORT": "8080",
        "AWS_LWA_READINESS_CHECK_PROTOCOL": "tcp",
    }


@pytest.mark.parametrize("name", BUFFERED)
def test_mangum_is_never_behind_the_adapter(package: Package, name: str) -> None:
    function = package.template.function(name)
    assert function["Handler"].startswith("hosts/aws/handlers.")
    assert "Layers" not in function
    assert not [key for key in function["Environment"]["Variables"] if key.startswith("AWS_L")]


def test_who_reaches_no_account_knows_none(package: Package) -> None:
    for name in ("index",):
        variables = package.template.function(name)["Environment"]["Variables"]
        assert set(variables) == {"LOG_LEVEL", "LOG_FORMAT"}
    for name in {*BUFFERED, *STREAMING} - {"index"}:
        variables = package.template.function(name)["Environment"]["Variables"]
        assert set(ACCOUNT) <= set(variables)


def test_the_store_is_a_table_that_costs_nothing_when_unused(package: Package) -> None:
    (table,) = package.template.of_type("AWS::DynamoDB::Table").values()
    assert table == {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "B"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "delete_after", "Enabled": True},
    }
    assert package.template.resources["StateTable"]["DeletionPolicy"] == "Delete"


def test_the_functions_may_do_what_they_do_and_nothing_else(package: Package) -> None:
    (role,) = package.template.of_type("AWS::IAM::Role").values()
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    allowed = {}
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            assert resource != "*"
            text = resource.get("Fn::Sub", "")
            assert "log-group:/aws/lambda/glm-gateway-prod*" in text or resource == {
                "Fn::GetAtt": ["StateTable", "Arn"]
            }
        for action in statement["Action"]:
            allowed[action] = resources
    assert {action for action in allowed if not action.startswith("logs:")} == {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    }
    assert "logs:*" not in allowed
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": ["lambda.amazonaws.com"]}


def test_only_the_gateway_may_call_the_functions(package: Package) -> None:
    for permission in package.template.of_type("AWS::Lambda::Permission").values():
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert "ApiGatewayRestApi" in str(permission["SourceArn"])


def test_logs_are_kept_for_two_weeks(package: Package) -> None:
    groups = package.template.of_type("AWS::Logs::LogGroup").values()
    assert len(groups) == len(package.template.functions)
    assert {group["RetentionInDays"] for group in groups} == {14}


def test_the_base_url_is_an_output(package: Package) -> None:
    assert package.template.all["Outputs"]["BaseUrl"]["Value"]["Fn::Sub"].endswith("/prod/v1")


# The deployer's environment


def test_the_deployers_settings_arrive_where_they_belong(
    package: Package, builder: Path, tmp_path: Path
) -> None:
    """osls alone: the zips are there."""
    copy_service(package.project, tmp_path)
    reference = "{{resolve:secretsmanager:glm-gateway:SecretString:CHATGLM_REFRESH_TOKENS}}"
    environ = {
        "CHATGLM_REFRESH_TOKENS": reference,
        "API_KEYS": "sk-one,sk-two",
        "RESERVED_CONCURRENCY": "3",
        "LOG_LEVEL": "DEBUG",
        "AWS_REGION": "ap-southeast-1",
        "SLS_TELEMETRY_DISABLED": "1",
    }
    done = subprocess.run(
        [builder / ".bin/osls", "package", "--stage", "mine"],
        cwd=tmp_path,
        env=without_aws() | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    template = Template(tmp_path / ".serverless/cloudformation-template-update-stack.json")
    variables = template.function("chatCompletions")["Environment"]["Variables"]
    assert variables["CHATGLM_REFRESH_TOKENS"] == reference  # CloudFormation resolves it, not osls
    assert variables["API_KEYS"] == "sk-one,sk-two"
    assert variables["LOG_LEVEL"] == "DEBUG"
    assert template.function("chatCompletions")["ReservedConcurrentExecutions"] == 3
    assert "ReservedConcurrentExecutions" not in template.function("token")
    assert template.function("index")["FunctionName"] == "glm-gateway-mine-index"
    assert "sk-one" not in str(template.function("index"))


# The zips


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_zip_holds_the_gateway_and_what_it_needs(package: Package, name: str) -> None:
    folder = package.folders[name]
    found = {path.name for path in folder.iterdir()}
    assert {"api", "lib", "starlette", "httpx", "msgspec", "anyio", "certifi"} <= found
    unwanted = {"tests", "simulator", "docs", "scripts", "public", "node_modules", "requirements", "bin"}
    assert not unwanted & found
    assert {path.parent.name for path in (folder / "hosts").rglob("*.py")} == {"hosts", "aws"}
    assert not {"pytest", "openai", "ruff", "boto3", "botocore", "pip", "setuptools"} & found
    assert not [path for path in folder.rglob("*") if path.name.startswith((".env", ".git"))]
    assert {path.relative_to(folder).as_posix() for path in (folder / "api").rglob("*.py")} == set(API_FILES)
    document = (folder / "lib/dialects/openapi.json").read_bytes()
    assert document == (ROOT / "lib/dialects/openapi.json").read_bytes()
    for file in (ROOT / "lib/web/page").iterdir():
        assert (folder / "lib/web/page" / file.name).read_bytes() == file.read_bytes()


def test_only_the_streaming_functions_carry_a_server(package: Package) -> None:
    buffered, streaming = package.folders["buffered"], package.folders["streaming"]
    assert (buffered / "hosts/aws/handlers.py").is_file()
    for name in ("uvicorn", "click", "hosts/aws/run.sh", "hosts/aws/stream_server.py"):
        assert not (buffered / name).exists()
        assert (streaming / name).exists()
    assert not (streaming / "hosts/aws/handlers.py").exists()
    assert (streaming / "hosts/aws/run.sh").stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_zip_leaves_out_the_packages_that_its_functions_never_import(package: Package, name: str) -> None:
    found = {path.name for path in package.folders[name].iterdir() if any(path.rglob("*.py*"))}
    modules = {"pillow": "PIL", "mangum": "mangum"}
    assert {left for left, module in modules.items() if module not in found} == LEFT_OUT[name]
    assert not any(path.is_file() for path in package.folders[name].glob("pillow.libs/*")) or name == "videos"


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("buffered", "requirements.txt"),
        ("streaming", "requirements/aws.txt"),
        ("videos", "requirements/aws.txt"),
    ],
)
def test_the_packages_are_the_pinned_ones(package: Package, name: str, requirements: str) -> None:
    installed = {
        found["name"].replace("_", "-").lower(): found["version"]
        for path in package.folders[name].glob("*.dist-info")
        if (found := re.fullmatch(r"(?P<name>.+)-(?P<version>[^-]+)\.dist-info", path.name))
    }
    wanted = dict(PIN.findall((package.project / requirements).read_text()))
    assert installed.items() <= wanted.items()
    # colorama is for Windows.
    assert wanted.keys() - installed.keys() <= {"colorama"} | LEFT_OUT[name]


def test_both_zips_are_pinned_alike() -> None:
    assert pins("requirements.txt").items() <= pins("requirements/aws.txt").items()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_no_cold_start_compiles(package: Package, name: str) -> None:
    folder = package.folders[name]
    for source in folder.rglob("*.py"):
        compiled = source.parent / f"__pycache__/{source.stem}.cpython-313.pyc"
        assert compiled.is_file(), source
        # Flags 1: taken without a look at its source, whose time is not the one that was compiled.
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", source


@pytest.mark.parametrize("name", LEFT_OUT)
def test_the_same_project_gives_the_same_zip(package: Package, name: str) -> None:
    with zipfile.ZipFile(package.project / f".aws/{name}.zip") as packed:
        entries = packed.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert sum(entry.file_size for entry in entries) < 60_000_000
    assert (package.project / f".aws/{name}.zip").stat().st_size < 20_000_000
