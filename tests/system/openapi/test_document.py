"""The document says what the code does; tests/system/conformance asks the gateway and the standard."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from hosts.box.mounting import API_FOLDER, function_files, load
from lib import errors
from lib.dialects import (
    anthropic,
    anthropic_content,
    anthropic_errors,
    anthropic_models,
    anthropic_request,
    gemini,
    gemini_content,
    gemini_errors,
    gemini_grounding,
    gemini_models,
    gemini_request,
    openai_chat,
    openai_chat_request,
    openai_completions,
    openai_errors,
    openai_media,
    openai_models,
    openai_responses_input,
    openai_responses_items,
    openai_responses_object,
    openai_responses_request,
    openai_videos,
    stops,
    token_check,
    tokens,
)
from lib.dialects.fields import EFFORTS
from lib.flows import health
from lib.upstreams import condition
from lib.upstreams.condition import TokenStatus
from lib.web.edge import EXPOSED_HEADERS
from tests.system.openapi.document import (
    OPENAPI,
    SCHEMAS,
    TEXT,
    Operation,
    everything,
    operations,
    references,
    resolved,
)

ROOT = Path(__file__).resolve().parents[3]
OPERATIONS = pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "ChatCompletion choices": openai_chat._Choice,
    "ChatCompletion choices message": openai_chat._Message,
    "Annotation url_citation": openai_chat._UrlCitation,
    "ToolCallDelta": openai_chat._ToolCall,
    "Message": openai_chat_request._Message,
    "Part": openai_chat_request._Part,
    "Part file": openai_chat_request._File,
    "CalledFunction": openai_chat_request._Function,
    "Error error": openai_errors._Error,
    "VideoGenerated data": openai_videos._Made,
    "ChatCompletionRequest": openai_chat_request._Body,
    "MessagesRequest": anthropic_request._Body,
    "MessagesRequest thinking": anthropic_request._Thinking,
    "MessagesRequest tool_choice": anthropic_request._ToolChoice,
    "MessagesRequest output_config": anthropic_request._OutputConfig,
    "MessagesFormat": anthropic_request._Format,
    "MessagesTool": anthropic_request._Tool,
    "MessagesInput": anthropic_content.WireMessage,
    "MessagesBlock": anthropic_content.Block,
    "MessagesSource": anthropic_content.Source,
    "MessagesAnswer": anthropic._Message,
    "MessagesUsage": anthropic._Usage,
    "MessagesCount": anthropic._Count,
    "MessagesError": anthropic_errors._Body,
    "MessagesError error": anthropic_errors._Error,
    "MessagesModel": anthropic_models._Model,
    "MessagesModelList": anthropic_models._Models,
    "GeminiRequest": gemini_request._Body,
    "GeminiRequest toolConfig": gemini_request._ToolConfig,
    "GeminiRequest toolConfig functionCallingConfig": gemini_request._FunctionCallingConfig,
    "GeminiRequest generationConfig": gemini_request._GenerationConfig,
    "GeminiRequest generationConfig thinkingConfig": gemini_request._ThinkingConfig,
    "GeminiContent": gemini_content.Content,
    "GeminiPart": gemini_content.WirePart,
    "GeminiPart inlineData": gemini_content.Blob,
    "GeminiPart fileData": gemini_content.FileData,
    "GeminiPart functionCall": gemini_content.FunctionCall,
    "GeminiPart functionResponse": gemini_content.FunctionResponse,
    "GeminiPart executableCode": gemini_content.ExecutableCode,
    "GeminiPart codeExecutionResult": gemini_content.CodeExecutionResult,
    "GeminiTool": gemini_request._Tool,
    "GeminiFunction": gemini_request._Function,
    "GeminiAnswer": gemini._Response,
    "GeminiAnswer promptFeedback": gemini._Feedback,
    "GeminiCandidate": gemini._Candidate,
    "GeminiCandidate content": gemini._Content,
    "GeminiGrounding": gemini_grounding.Grounding,
    "GeminiGrounding groundingChunks": gemini_grounding._Chunk,
    "GeminiGrounding groundingSupports": gemini_grounding._Support,
    "GeminiGrounding groundingSupports segment": gemini_grounding._Segment,
    "GeminiUsage": gemini._Usage,
    "GeminiCount": gemini._Count,
    "GeminiError": gemini_errors._Body,
    "GeminiError error": gemini_errors._Error,
    "GeminiModel": gemini_models._Model,
    "GeminiModelList": gemini_models._Models,
    "CompletionRequest": openai_completions._Body,
    "CompletionRequest stream_options": openai_completions._StreamOptions,
    "Completion": openai_completions._Completion,
    "Completion choices": openai_completions._Choice,
    "Completion usage": openai_completions._Usage,
    "ResponsesRequest": openai_responses_request._Body,
    "ResponsesRequest reasoning": openai_responses_request._Reasoning,
    "ResponsesRequest text": openai_responses_request._Text,
    "ResponseInputPart": openai_responses_input._Part,
    "ResponseMessage": openai_responses_items._Message,
    "ResponseMessage content": openai_responses_items.OutputText,
    "ResponseMessage content annotations": openai_responses_items.Annotation,
    "ResponseReasoning": openai_responses_items._Reasoning,
    "ResponseReasoning summary": openai_responses_items.SummaryText,
    "ResponseFunctionCall": openai_responses_items._FunctionCall,
    "ResponseCustomCall": openai_responses_items._CustomCall,
    "ResponseShellCall": openai_responses_items._ShellCall,
    "ResponseShellCall action": openai_responses_items._ShellAction,
    "ResponseSearchCall": openai_responses_items._SearchCall,
    "ResponseSearchCall action": openai_responses_items._SearchAction,
    "ResponseUsage": openai_responses_object._Usage,
    "ResponseError": openai_responses_object._Error,
    "ImagesRequest": openai_media._Body,
    "VideoGenerationRequest": openai_videos._Generation,
    "VideoRequest": openai_videos._Creation,
    "TokenCheckRequest": token_check._Body,
    "NewToken": tokens._Body,
    "OwnAccounts": condition.OwnAccounts,
    "OwnAccount": condition.OwnAccount,
    "Error": openai_errors._Body,
    "ChatCompletion": openai_chat._Completion,
    "Usage": openai_chat._Usage,
    "Annotation": openai_chat._Annotation,
    "Model": openai_models._Model,
    "ModelList": openai_models._Models,
    "Images": openai_media._Images,
    "Video": openai_videos._Video,
    "VideoPending": openai_videos._Pending,
    "VideoGenerated": openai_videos._Completed,
    "JobError": openai_videos._Error,
    "AccountCheck": TokenStatus,
    "Health": health.Health,
    "DeepHealth": health.DeepHealth,
    "DeepHealth store": condition.StoreHealth,
    "DeepHealth clock": condition.ClockHealth,
    "AccountHealth": condition.AccountHealth,
}
"""What a schema, or a property of it, describes: in the code that reads or writes it."""


def routes() -> set[tuple[str, str]]:
    """List what api/ answers; HEAD goes with GET, and each file's own path below /api with its address."""
    found = set()
    for file in function_files(API_FOLDER):
        for route in load(file).router.routes:
            assert isinstance(route, Route)
            if not route.path.startswith("/api") and route.path not in ("/index", "/robots.txt"):
                path = route.path.replace("{name:model}", "{name}")
                found |= {(method.lower(), path) for method in (route.methods or set()) - {"HEAD"}}
    return found


def test_every_endpoint_is_described_and_nothing_else() -> None:
    assert {(operation.method, operation.path) for operation in operations()} == routes()


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = {"/".join(reference.split("/")[:4]) for reference in references(OPENAPI)}
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in OPENAPI["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert used == components
    for reference in references(OPENAPI):
        assert resolved({"$ref": reference})


def test_operations_are_named_once_and_for_what_they_do() -> None:
    names = [operation.told["operationId"] for operation in operations()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in OPENAPI["tags"]}
    for operation in operations():
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", operation.told["operationId"])
        assert operation.told["summary"]
        assert set(operation.told["tags"]) <= tags


@OPERATIONS
def test_every_placeholder_of_a_path_is_a_parameter(operation: Operation) -> None:
    shared = OPENAPI["paths"][operation.path].get("parameters", [])
    parameters = [resolved(parameter) for parameter in [*shared, *operation.told.get("parameters", [])]]
    in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", operation.path))


def form_of_errors(path: str) -> str:
    if path.startswith("/v1beta/") or ":" in path:
        return "GeminiError"
    if path.startswith("/v1/models"):
        return "ModelsError"
    return "MessagesError" if path.startswith("/v1/messages") else "Error"


@OPERATIONS
def test_every_answer_has_its_request_id_and_every_error_its_schema(operation: Operation) -> None:
    for status, response in operation.responses.items():
        assert "x-request-id" in response["headers"], status
        if status >= "400":
            content = response["content"]["application/json"]["schema"]
            assert content == {"$ref": f"#/components/schemas/{form_of_errors(operation.path)}"}, status


@OPERATIONS
def test_whoever_may_not_call_is_told_so(operation: Operation) -> None:
    is_open = operation.told.get("security") == []
    assert ("401" in operation.responses) != is_open
    if not is_open:
        assert {"429", "500", "503"} <= set(operation.responses)


@OPERATIONS
def test_whatever_has_a_body_may_refuse_it(operation: Operation) -> None:
    refusals = {"400", "408", "413", "415"} & set(operation.responses)
    if "requestBody" in operation.told:
        assert refusals == {"400", "408", "413", "415"}
    else:
        assert refusals <= {"400"}


def test_every_status_that_we_answer_with_is_described() -> None:
    statuses = {
        str(kind.status)
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.GatewayError)
    }
    described = {status for operation in operations() for status in operation.responses}
    assert statuses - described == {"405"}, "a wrong method is no operation's answer; the description has it"
    assert "405" in OPENAPI["info"]["description"]


def test_every_code_of_our_errors_is_named() -> None:
    table = (ROOT / "docs/errors.md").read_text().partition("## In a video")[0]
    codes = set(re.findall(r"^\| \d{3} \| `\w+` \| `(\w+)`", table, re.MULTILINE))
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in TEXT} == set()


def test_every_header_that_scripts_may_read_is_described() -> None:
    assert set(OPENAPI["components"]["headers"]) - {"www-authenticate"} == set(EXPOSED_HEADERS)


@pytest.mark.parametrize(("name", "struct"), STRUCTS.items(), ids=STRUCTS)
def test_a_schema_has_the_fields_of_the_code(name: str, struct: type[msgspec.Struct]) -> None:
    top, *inner = name.split()
    described = _variants([resolved(SCHEMAS[top])])
    for property_name in inner:
        found = [schema["properties"].get(property_name) for schema in described]
        described = _variants([_item(schema) for schema in found if schema])
    fields = msgspec.structs.fields(struct)
    assert {name for schema in described for name in schema["properties"]} == {
        field.encode_name for field in fields
    }
    for schema in described:
        assert {field.encode_name for field in fields if field.required} <= {
            *schema["required"],
            *_unset(fields),
        }


def test_a_response_is_its_state_and_the_request_again() -> None:
    structs = (openai_responses_object._Response, openai_responses_request.Echo)
    names = [field.name for struct in structs for field in msgspec.structs.fields(struct)]
    assert sorted(SCHEMAS["Response"]["properties"]) == sorted(names)
    assert sorted(SCHEMAS["Response"]["required"]) == sorted(names), "no key is ever left out"


def _item(schema: Any) -> Any:
    schema = resolved(schema)
    return resolved(schema["items"]) if "items" in schema else schema


def _variants(schemas: list[Any]) -> list[Any]:
    """Take alternatives one by one; what is no object has no fields."""
    each = [
        resolved(variant)
        for schema in schemas
        for variant in ([schema] if "type" in schema else schema["oneOf"])
    ]
    return [{"required": (), **schema} for schema in each if "properties" in schema]


def _unset(fields: tuple[msgspec.structs.FieldInfo, ...]) -> set[str]:
    """Those that are required of us, and left out where there is nothing."""
    return {field.encode_name for field in fields if "UnsetType" in str(field.type)}


def test_the_words_that_videos_know_are_the_codes() -> None:
    properties = SCHEMAS["VideoGenerationRequest"]["properties"]
    for name, words in (
        ("video_style", openai_videos.VIDEO_STYLES),
        ("emotional_atmosphere", openai_videos.EMOTIONAL_ATMOSPHERES),
        ("mirror_mode", openai_videos.MIRROR_MODES),
    ):
        assert properties[name]["enum"] == [*words, "", None]


def test_the_limits_are_the_codes() -> None:
    assert SCHEMAS["Effort"]["enum"] == [*EFFORTS, None]
    assert SCHEMAS["AskedEffort"]["enum"] == [*EFFORTS, "", None]
    stop = SCHEMAS["ChatCompletionRequest"]["properties"]["stop"]["anyOf"][1]
    assert stop["maxItems"] == stops.MAX_SEQUENCES
    assert stop["items"]["maxLength"] == stops.MAX_CHARS
    assert SCHEMAS["ImagesRequest"]["properties"]["n"]["maximum"] == openai_media.MAX_IMAGES
    roles = [
        role for message in SCHEMAS["Message"]["oneOf"] for role in _words(message["properties"]["role"])
    ]
    assert sorted(roles) == sorted(openai_chat_request._ROLES)


def _words(schema: dict[str, Any]) -> list[str]:
    return [schema["const"]] if "const" in schema else list(schema["enum"])


def test_the_document_names_no_host() -> None:
    assert OPENAPI["servers"] == [{"url": "{server}"}]
    assert not [part for part in everything(OPENAPI) if isinstance(part, str) and "://" in part]
