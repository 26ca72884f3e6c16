"""The malformations of tools.md §4, each fed whole, character by character and cut at every position."""

# ruff: noqa: E501  (a row is one line: what the model writes, and what must come out)

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from lib.chat.events import FinishReason
from lib.chat.request import ToolChoice
from lib.tools.toolbox import Toolbox
from tests.unit.tools.samples import CLOSE as E
from tests.unit.tools.samples import FORCED, JSON, Told, box_of, play, read, reader_of, say
from tests.unit.tools.samples import OPEN as B

A_PY = {"path": "a.py"}
READ = ("read", A_PY)
NOW: tuple[str, dict[str, Any]] = ("now", {})
HEAD = f"{B}<tool>read</tool>"


class Row(NamedTuple):
    name: str
    text: str
    items: list[Any]
    ending: str = "tool_calls"
    reason: FinishReason = "stop"
    box: Toolbox | None = None


def find(fields: str) -> str:
    return f"{B}<tool>find</tool><in_q>x</in_q>{fields}{E}"


def found(**more: Any) -> list[Any]:
    return [("find", {"q": "x", **more})]


def write(content: str, path: str = "a") -> str:
    return f"{B}<tool>write</tool><in_path>{path}</in_path>{content}{E}"


def written(content: str, path: str = "a") -> list[Any]:
    return [("write", {"path": path, "content": content})]


def todo(value: str) -> str:
    return f"{B}<tool>todo</tool><in_items>{value}</in_items>{E}"


NATIVE = "<tool_call>read<arg_key>path</arg_key><arg_value>a.py</arg_value></tool_call>"
DSML = (
    '<|DSML|tool_calls>\n<|DSML|invoke name="read">\n'
    '<|DSML|parameter name="path"><![CDATA[a.py]]></|DSML|parameter>\n</|DSML|invoke>\n</|DSML|tool_calls>'
)
PLAIN = '{"name":"read","arguments":{"path":"a.py"}}'
SHOWN = f"see:\n{B}\n<tool>read</tool>\n<in_limit>4</in_limit>\n{E}\nend"

TAUGHT = [
    Row("A1", f"{B}\n<tool>read</tool>\n<in_path>a.py</in_path>\n{E}", [READ]),
    Row("A2", f"{HEAD}<in_path>a.py</in_path>{E}", [READ]),
    Row("A2 CRLF", f"{B}\r\n<tool>read</tool>\r\n<in_path>a.py</in_path>\r\n{E}\r\n", [READ]),
    Row("A3", f"{B}<tool>now</tool>{E}", [NOW]),
    Row(
        "A4 integer",
        f"{HEAD}<in_path>a</in_path><in_limit>5</in_limit>{E}",
        [("read", {"path": "a", "limit": 5})],
    ),
    Row("A4", find('<in_deep>true</in_deep><in_tags>["a","b"]</in_tags>'), found(deep=True, tags=["a", "b"])),
    Row("A5 number", write("<in_content>42</in_content>"), written("42")),
    Row("A5 object", write('<in_content>{"a":1}</in_content>'), written('{"a":1}')),
    Row("A6", write("<in_content>\n  x\n\n</in_content>"), written("  x\n")),
    Row("A7 closer", write("<in_content>a </in_content> b</in_content>"), written("a </in_content> b")),
    Row("A7 block", write(f"<in_content>\n{SHOWN}\n</in_content>\n"), written(SHOWN)),
    Row(
        "A8",
        f"one\n{B}<tool>now</tool>{E}\ntwo\n{HEAD}<in_path>b</in_path>{E}",
        ["one", NOW, "two", ("read", {"path": "b"})],
    ),
    Row("A9", write("<in_content>&lt;div&gt;</in_content>"), written("&lt;div&gt;")),
]
DAMAGED = [
    Row("B1", f"{HEAD}<in_path>a.py</in_path>", [READ]),
    Row("B2 run's closer", f"{HEAD}<in_path>a.py{E}", [READ]),
    Row("B2 nothing closed", f"{B}<tool>read<in_path>a.py", [READ]),
    Row("B2 prose behind", f"{HEAD}<in_path>a.py{E}\nI wait.", [READ]),
    Row(
        "B2 two",
        f"{HEAD}<in_path>a.py\n<in_limit>5</in_limit>\n{E}\nI wait.",
        [("read", {"path": "a.py", "limit": 5})],
    ),
    Row("B3", f"{HEAD}<in_path>a.py", [f"{HEAD}<in_path>a.py"], "length", "length"),
    Row("B3 whole before", f"{B}<tool>now</tool>{E}\n{HEAD}<in_path>a", [NOW], "tool_calls", "length"),
    Row("B4", f"{B}<tool>read<in_path>a.py</in_path>{E}", [READ]),
    Row("B5 name's line", f"{B}\nread\n<in_path>a.py</in_path>\n{E}", [READ]),
    Row("B5 name's tag", f"{B}<read><in_path>a.py</in_path></read>{E}", [READ]),
    Row("B6 </path>", f"{HEAD}<in_path>a.py</path>{E}", [READ]),
    Row("B6 </in>", f"{HEAD}<in_path>a.py</in>{E}", [READ]),
    Row("B6 opener", f"{HEAD}<in_path>a.py<in_path>{E}", [READ]),
    Row("B7", f"{HEAD}<path>a.py</path>{E}", [READ]),
    Row("B8", f'<bridge_run tool="read"><in name="path">a.py</in>{E}', [READ]),
    Row("B9 JSON", f'{HEAD}{{"path":"a.py"}}{E}', [READ]),
    Row("B9 flat", f'{B}{{"tool":"read","path":"a.py"}}{E}', [READ]),
    Row("B9 envelope", f"{B}{PLAIN}{E}", [READ]),
    Row("B10", f"{B}\ntool: read\npath: a.py\n{E}", [READ]),
    Row("B11 case", "<Bridge_Run><tool>now</tool></Bridge_Run>", [NOW]),
    Row("B11 hyphen", "<bridge-run><tool>now</tool></bridge-run>", [NOW]),
    Row("B11 space", "<bridge run><tool>now</tool></bridge run>", [NOW]),
    Row("B11 wide", "＜bridge_run＞<tool>now</tool>＜/bridge_run＞", [NOW]),
    Row("B12 pipes", "<|bridge_run|><tool>now</tool></|bridge_run|>", [NOW]),
    Row("B12 pipe", "<bridge_run|><tool>now</tool></bridge_run|>", [NOW]),
    Row("B12 lost end", f"{HEAD}<in_path>a.py</in_path>\n</bridge_run\n", [READ]),
    Row("B13 twice", f"{B}\n{B}\n<tool>now</tool>{E}", [NOW]),
    Row("B13 new", f"{HEAD}<in_path>a.py</in_path>{B}<tool>now</tool>{E}", [READ, NOW]),
    Row("B14", f"```xml\n{HEAD}<in_path>a.py</in_path>{E}\n```", [READ]),
    Row("B14 text before", f"Now:\n```\n{HEAD}<in_path>a.py</in_path>{E}\n```\n", ["Now:", READ]),
    Row("B14 unclosed", f"```\n{HEAD}<in_path>a.py</in_path>{E}", [READ]),
    Row("B15 quote", f"> {B}\n> <tool>read</tool>\n> <in_path>a.py</in_path>\n> {E}", [READ]),
    Row("B15 list", f"- {B}\n<tool>read</tool>\n<in_path>a.py</in_path>\n{E}", [READ]),
    Row("B15 indented", f"    {B}\n    <tool>read</tool>\n    <in_path>a.py</in_path>\n    {E}", [READ]),
    *(
        Row(f"B16 {end}", write(f"<in_content><![CDATA[x{end}</in_content>"), written("x"))
        for end in ("]]>", "]]|>", "]>", "]]]>", "]]>]]>", "")
    ),
    Row("B16 index", write("<in_content><![CDATA[a[0]]]></in_content>"), written("a[0]")),
    Row("B17", write("<in_content>\n```py\nx = 1\n```\n</in_content>"), written("x = 1")),
    Row(
        "B17 .md",
        write("<in_content>\n```py\nx\n```\n</in_content>", "a.md"),
        written("```py\nx\n```", "a.md"),
    ),
    Row("B18 quotes", f'{HEAD}<in_path>"a.py"</in_path>{E}', [READ]),
    Row("B18 backticks", f"{HEAD}<in_path>`a.py`</in_path>{E}", [READ]),
    Row("B18 content", write('<in_content>"x"</in_content>'), written('"x"')),
    Row("B19 list", find("<in_tags>['a', \"b\",]</in_tags>"), found(tags=["a", "b"])),
    Row("B19 True", find("<in_deep>True</in_deep>"), found(deep=True)),
    Row("B19 yes", find("<in_deep>yes</in_deep>"), [], "repair"),
    Row("B20 commas", find("<in_tags>a, b</in_tags>"), found(tags=["a", "b"])),
    Row("B20 quoted", find('<in_tags>"a","b"</in_tags>'), found(tags=["a", "b"])),
    Row("B20 one", find("<in_tags>a</in_tags>"), found(tags=["a"])),
    Row("B21 two", todo('{"t":"x"},{"t":"y"}'), [("todo", {"items": [{"t": "x"}, {"t": "y"}]})]),
    Row("B21 one", todo('{"t":"x"}'), [("todo", {"items": [{"t": "x"}]})]),
    Row("B22", find('<in_tags>"[\\"a\\"]"</in_tags>'), found(tags=["a"])),
    Row("B23 repeated", find("<in_tags>a</in_tags><in_tags>b</in_tags>"), found(tags=["a", "b"])),
    Row("B23 items", find("<in_tags><item>a</item><item>b</item></in_tags>"), found(tags=["a", "b"])),
    Row("B24 equal", f"{HEAD}<in_path>a.py</in_path><in_path>a.py</in_path>{E}", [READ]),
    Row("B24 different", f"{HEAD}<in_path>a.py</in_path><in_path>b.py</in_path>{E}", [], "repair"),
    Row(
        "B25 5.0",
        f"{HEAD}<in_path>a</in_path><in_limit>5.0</in_limit>{E}",
        [("read", {"path": "a", "limit": 5})],
    ),
    Row(
        "B25 quoted",
        f'{HEAD}<in_path>a</in_path><in_limit>"5"</in_limit>{E}',
        [("read", {"path": "a", "limit": 5})],
    ),
    Row("B25 five", f"{HEAD}<in_path>a</in_path><in_limit>five</in_limit>{E}", [], "repair"),
    Row("B25 null", f"{HEAD}<in_path>a.py</in_path><in_limit>null</in_limit>{E}", [READ]),
    Row("B25 empty", f"{HEAD}<in_path>a.py</in_path><in_limit></in_limit>{E}", [READ]),
    Row("B26", f"{HEAD}<in_path>a</in_path><in_why>so</in_why>{E}", [("read", {"path": "a", "why": "so"})]),
    Row("B27 case", f"{HEAD}<in_Path>a.py</in_Path>{E}", [READ]),
    *(
        Row(f"B28 {name}", f"{B}<tool>{name}</tool><in_path>a.py</in_path>{E}", [READ])
        for name in ("Read", "read()", "functions.read", "default_api:read", "read:0", "re_ad")
    ),
    Row("B29 misspelt", f"{B}<tool>reed</tool><in_path>a.py</in_path>{E}", [], "repair"),
    Row("B29 undeclared", f"{B}<tool>open_url</tool><in_url>a</in_url>{E}", [], "repair"),
    Row("B29 missing", f"{HEAD}{E}", [], "repair"),
    Row("B30 twice", f"{B}<tool>now</tool>{E}\n{B}<tool>now</tool>{E}\n", [NOW]),
    Row("B30 not adjacent", f"{B}<tool>now</tool>{E}\nand\n{B}<tool>now</tool>{E}\n", [NOW, "and", NOW]),
    Row(
        "B30 two apart",
        f"{HEAD}<in_path>a.py</in_path>{E}{B}<tool>now</tool>{E}{HEAD}<in_path>a.py</in_path>{E}",
        [READ, NOW, READ],
    ),
    Row("B31 result", f"{B}<tool>now</tool>{E}\n<bridge_result>\nnoon\n</bridge_result>\nIt is noon.", [NOW]),
    Row(
        "B31 response",
        f"{B}<tool>now</tool>{E}\n<tool_response>noon</tool_response>\n{HEAD}<in_path>a.py</in_path>{E}",
        [NOW],
    ),
    Row("B31 Observation", f"{B}<tool>now</tool>{E}\nObservation: noon\nIt is noon.", [NOW]),
    Row("B31 user", f"{B}<tool>now</tool>{E}\n<|user|>\nThanks.", [NOW]),
    Row("B31 heading", f"{B}<tool>now</tool>{E}\n## Results\nnoon", [NOW]),
    Row("B32 closer", f"</think>\n{B}<tool>now</tool>{E}", [NOW]),
    Row("B32 both", f"<think>so</think>{B}<tool>now</tool>{E}", [NOW]),
    Row("B34", "I will create the file now.", ["I will create the file now."], "stop"),
    Row(
        "B34 required",
        "I will create the file now.",
        ["I will create the file now."],
        "repair",
        "stop",
        box_of(tool_choice=FORCED),
    ),
    Row("B35", write("<in_content>a\\nb</in_content>"), written("a\\nb")),
    Row("stray closers", f"{B}<tool>now</tool>{E}{E}\n{E}", [NOW]),
]
GLM = [
    Row("C1", "<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>\n</tool_call>", [READ]),
    Row("C1 one line", NATIVE, [READ]),
    Row("C2", "<tool_call>now</tool_call>", [NOW]),
    Row("C3", "<tool_call>readpath</arg_key><arg_value>a.py</arg_value></tool_call>", [READ]),
    Row("C3 space", "<tool_call>read path</arg_key><arg_value>a.py</arg_value></tool_call>", [READ]),
    Row("C4", "<tool_call>read<arg_key>path</arg_key>a.py</arg_value></tool_call>", [READ]),
    Row(
        "C5 closer",
        "<tool_call>read<arg_key>path</arg_key></arg_key><arg_value>a.py</arg_value></tool_call>",
        [READ],
    ),
    Row(
        "C5 opener",
        "<tool_call>read<arg_key><arg_key>path</arg_key><arg_value>a.py</arg_value></tool_call>",
        [READ],
    ),
    Row(
        "C5 JSON", '<tool_call>read\n{"path<arg_key":"page</arg_key><arg_value>5"}</tool_call>', [], "repair"
    ),
    Row("C6", "<tool_call>read<arg_key>path</arg_key><arg_value>a.py</arg_key></tool_call>", [READ]),
    Row("C6 run", "<tool_call>read<arg_key>path</arg_key><arg_value>a.py</tool_call>", [READ]),
    Row("C7", "<tool_call>read<tool_call>path</arg_key><arg_value>a.py</arg_value></tool_call>", [READ]),
    Row("C8 storm", "</tool_call></tool_call>\n</tool_call>", [], "repair"),
    Row("C9 next", f"<tool_call>now{NATIVE}", [NOW, READ]),
    Row("C9 closer only", "read\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>\n</tool_call>", [READ]),
    Row("C10", f"<tool_call>{PLAIN}</tool_call>", [READ]),
    Row("C10 name", '<tool_call>read\n{"path":"a.py"}</tool_call>', [READ]),
    Row("C10 text", '<tool_call>{"name":"read","arguments":"{\\"path\\":\\"a.py\\"}"}</tool_call>', [READ]),
    Row("C11", 'read\n{"path":"a.py"}', [READ]),
    Row("C12", "<tool_call>\n</tool_call>", [], "repair"),
    Row("C12 name", '{"name":"","arguments":{}}', ['{"name":"","arguments":{}}'], "stop"),
    Row(
        "C13",
        "<tool_call>bash<arg_key>command</arg_key><arg_value>a </arg_value> b </tool_call> c</arg_value></tool_call>",
        [("bash", {"command": "a </arg_value> b </tool_call> c"})],
    ),
    Row("cut value", "<tool_call>read<arg_key>path</arg_key><arg_value>a.p", [], "repair"),
]
OTHER_TAGS = [
    Row(
        "D1",
        '<function_calls><invoke name="read"><parameter name="path">a.py</parameter></invoke></function_calls>',
        [READ],
    ),
    Row(
        "D1 prefix",
        '<ns:function_calls>\n<ns:invoke name="read">\n<ns:parameter name="path">a.py</ns:parameter>\n</ns:invoke>\n</ns:function_calls>',
        [READ],
    ),
    Row("D2", '<invoke name="bash"><command>ls</command></invoke>', [("bash", {"command": "ls"})]),
    Row("D3", DSML, [READ]),
    Row(
        "D4",
        '<|dsml|invoke name="read"|><|dsml|parameter name="path"|>a.py</|dsMLparameter|><|/dsmlinvoke|>',
        [READ],
    ),
    Row(
        "D4 opener",
        '<|DSML|invoke name="read"><|DSML|parameter name="path">a.py</|DSML|parameter><||DSML|invoke>',
        [READ],
    ),
    Row(
        "D5",
        '<invoke name="find"><parameter name="q">x</parameter><parameter name="tags"><![CDATA[["a"]]></parameter></invoke>',
        found(tags=["a"]),
    ),
    Row(
        "D6",
        "<ml_tool_calls><ml_tool_call><ml_tool_name>read</ml_tool_name><ml_parameters><path>a.py</path></ml_parameters></ml_tool_call></ml_tool_calls>",
        [READ],
    ),
    Row(
        "D7",
        "<tool_calls><ml_tool_name>read</ml_tool_name><param_name>path</param_name><param_value>a.py</param_value></tool_calls>",
        [READ],
    ),
    Row("D8", "<read><path>a.py</path></read>", [READ]),
    Row("D8 attributes", '<read path="a.py"/>', [READ]),
    Row("D9", "<function=read><parameter=path>a.py</parameter></function>", [READ]),
    Row("D10", '<tool_use><name>read</name><arguments>{"path":"a.py"}</arguments></tool_use>', [READ]),
    Row("D10 tool", '<tool name="read">{"path":"a.py"}</tool>', [READ]),
    Row("D11", '[function_calls][call:read]{"path":"a.py"}[/call][/function_calls]', [READ]),
    Row("D11 sign", '[call=read]{"path":"a.py"}', [READ]),
    Row("D12 Mistral", f"[TOOL_CALLS][{PLAIN}]", [READ]),
    Row("D12 Llama", '<|python_tag|>{"name":"read","parameters":{"path":"a.py"}}', [READ]),
    Row(
        "D13",
        '<｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n```json\n{"path":"a.py"}\n```<｜tool▁call▁end｜>',
        [READ],
    ),
    Row(
        "D14 Kimi",
        '<|tool_call_begin|>functions.read:0<|tool_call_argument_begin|>{"path":"a.py"}<|tool_call_end|>',
        [READ],
    ),
    Row("D14 gpt-oss", '<|channel|>commentary to=functions.read<|message|>{"path":"a.py"}<|call|>', [READ]),
    Row(
        "two invokes",
        DSML.replace("</|DSML|tool_calls>", '<|DSML|invoke name="now"></|DSML|invoke></|DSML|tool_calls>'),
        [READ, NOW],
    ),
    Row("no closers", DSML.partition("</|DSML|invoke>")[0], [READ]),
    Row("cut value", DSML.partition("py]]>")[0], [], "repair"),
]
AS_JSON = [
    Row(
        "E1",
        '{"tool_calls":[{"id":"x","function":{"name":"read","arguments":"{\\"path\\":\\"a.py\\"}"}}]}',
        [READ],
    ),
    Row("E2", f"```json\n{PLAIN}\n```", [READ]),
    *(
        Row(f"E3 {name} {key}", f'{{"{name}":"read","{key}":{{"path":"a.py"}}}}', [READ])
        for name, key in (
            ("tool", "parameters"),
            ("tool_name", "params"),
            ("function", "args"),
            ("action", "input"),
            ("name", "tool_input"),
        )
    ),
    Row("E4 flat", '{"name":"read","path":"a.py"}', [READ]),
    Row("E4 key", '{"read":{"path":"a.py"}}', [READ]),
    Row("E5 list", f'[{PLAIN},{{"name":"now","arguments":{{}}}}]', [READ, NOW]),
    Row("E5 lines", f'{PLAIN}\n{{"name":"now","arguments":{{}}}}', [READ, NOW]),
    Row("E5 comma", f'{PLAIN},{{"name":"now","arguments":{{}}}}', [READ, NOW]),
    Row("E6", "{name:'read', arguments:{path:'a.py',},} // x", [READ]),
    Row("E7 newline", '{"name":"bash","arguments":{"command":"a\n\tb"}}', [("bash", {"command": "a\n\tb"})]),
    Row(
        "E7 quotes",
        '{"name":"bash","arguments":{"command":"echo "hi""}}',
        [("bash", {"command": 'echo "hi"'})],
    ),
    Row("E8 missing", PLAIN[:-1], [READ]),
    Row("E8 length", PLAIN[:-1], [PLAIN[:-1]], "length", "length"),
    Row("E8 surplus", f"{PLAIN}}}}}", [READ]),
    Row("E8 cut", PLAIN[:-5], [], "repair"),
    Row("E9", '{"name":"read","arguments":{"path":"C:\\dir\\new"}}', [("read", {"path": "C:\\dir\\new"})]),
    Row(
        "E9 legal",
        '{"name":"read","arguments":{"path":"C:\\bob\\notes"}}',
        [("read", {"path": "C:\\bob\\notes"})],
    ),
    *(Row(f"E10 {value}", f'{{"name":"now","arguments":{value}}}', [NOW]) for value in ("null", '""', "{}")),
    Row("E10 none", '{"name":"now"}', [NOW]),
    Row("E10 required", '{"name":"read","arguments":{}}', [], "repair"),
    Row("E11 twice", '{"name":"read","arguments":"\\"{\\\\\\"path\\\\\\":\\\\\\"a.py\\\\\\"}\\""}', [READ]),
    Row("E11 True", '{"name":"find","arguments":{"q":"x","deep":True,"tags":None}}', found(deep=True)),
    Row("E12", '{"name":{"path":"a.py"},"arguments":"read"}', [READ]),
    Row("E13", '{"name":"read","arguments":{},"path":"a.py"}', [READ]),
    Row("E14 doubled", 'read\n{"path":"a.py"}{"path":"a.py"}', [READ]),
    Row("role word", f"Assistant: {PLAIN}", [READ]),
    Row("prose before", f"I read it:\n{PLAIN}", ["I read it:", READ]),
]
IN_WORDS = [
    Row(
        "F1",
        'Thought: hm\nAction: read\nAction Input: {"path":"a.py"}\nObservation: noon',
        ["Thought: hm", READ],
    ),
    Row("F2", "Action: read\nAction Input: a.py", [READ]),
    Row("F2 brackets", "Action: read[a.py]", [READ]),
    Row("F3", '```tool_code\nread(path="a.py")\n```', [READ]),
    Row("F3 print", '<tool_code>print(read(path="a.py"))</tool_code>', [READ]),
    Row("F4", '[Tool call: read] {"path":"a.py"}', [READ]),
    Row("F4 Chinese", '调用工具：read\n参数：{"path":"a.py"}', [READ]),
    Row("F5", "Calling read with path a.py", ["Calling read with path a.py"], "stop"),
    Row("calls", 'read({"path":"a.py"})\nnow({})', [READ, NOW]),
    Row("calls, result", 'read({"path":"a.py"})\nObservation: x\nso', [READ]),
    Row("calls, text", 'So:\nread({"path":"a.py"})\nand\nnow({})', ["So:", READ, "and", NOW]),
    Row("calls, positional", 'read("a.py")', [READ]),
    Row("calls, mention", "read(path) opens a file", ["read(path) opens a file"], "stop"),
    Row("calls, fault", 'read({"limit":5})', [], "repair"),
]


def stays(name: str, text: str, box: Toolbox | None = None) -> Row:
    return Row(name, text, [text], "stop", "stop", box)


NO_CALLS = [
    stays("G1", f"For example:\n```\nLike this:\n{B}\n<tool>now</tool>\n{E}\n```\nThat is it."),
    stays("G1 undeclared", f"For example:\n```\n{B}\n<tool>name</tool>\n{E}\n```\nThat is it."),
    stays("G2", f"use `{B}` to run"),
    stays("G2 at the start", f"`{B}` runs it"),
    stays("G3 undeclared", '{"name":"Bob","arguments":["x"]}'),
    stays("G3 json", '{"name":"read"}', box_of(json_format=JSON)),
    stays("G4 mid-line", "… <read> the file …"),
    stays("G4 answer", "<find>\n<p>x</p>\n</find>"),
    stays("G4 end", "a <bridge"),
    stays("G4 start", "<bridge"),
    stays("G5", f"```python\nif text.startswith('<tool_call>'):\n    {NATIVE}\n```\n"),
    stays(
        "G6 none", f"{HEAD}<in_path>a.py</in_path>{E}", box_of(tool_choice=ToolChoice(mode="none"), tools=())
    ),
    stays("code", '```json\n{"name": "x"}\n```\nand\n\n```\nx\n```'),
    stays("Markdown", "# Title\n\n- a\n* b\n1. c\n> d\n\n[link](x)\n| a | b |\n"),
    stays("names", "Read on.\nread it\nnow\nNow then\nfind (a) place\nprint(x)\nAction: none\n"),
    stays("an object", '{"title": "x", "name": "read"}'),
    stays("a set", "{a, b}\n[1, 2]\n"),
]
ROWS = [*TAUGHT, *DAMAGED, *GLM, *OTHER_TAGS, *AS_JSON, *IN_WORDS, *NO_CALLS]


def expected(row: Row) -> tuple[tuple[Any, ...], str]:
    return tuple(row.items), row.ending


def got(told: Told) -> tuple[tuple[Any, ...], str]:
    return told.items, told.ending


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_text_is_read_whole(row: Row) -> None:
    assert got(read(row.text, row.box, row.reason)) == expected(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_text_is_read_by_characters(row: Row) -> None:
    assert got(play(reader_of(row.box), say(row.text, row.reason))) == expected(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_text_may_be_cut_anywhere(row: Row) -> None:
    for cut in range(1, len(row.text)):
        events = say([row.text[:cut], row.text[cut:]], row.reason)
        assert got(play(reader_of(row.box), events)) == expected(row), f"cut at {cut}: {row.text[:cut]!r}"
