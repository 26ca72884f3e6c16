"""Rows of tools.md §4 in other syntaxes (C to F), rows that are no calls (G), and more of our own."""

# ruff: noqa: E501  (a row is one line: what the model writes, and what must come out)

from __future__ import annotations

from lib.chat.request import Tool, ToolChoice
from lib.tools.toolbox import Toolbox
from tests.unit.tools.rows_taught import DSML, HEAD, NATIVE, NOW, PLAIN, READ, Row, find, found
from tests.unit.tools.samples import CLOSE as E
from tests.unit.tools.samples import JSON, TEXT, box_of, tool
from tests.unit.tools.samples import OPEN as B

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
    Row(
        "white space",
        "<tool_call>bash<arg_key>command</arg_key><arg_value> a\n</arg_value></tool_call>",
        [("bash", {"command": " a\n"})],
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


PATCH = Tool(name="patch", is_freeform=True)
ONE_OF = box_of(
    (
        tool(
            "read",
            {
                "path": TEXT,
                "lines": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
            },
            ["path"],
        ),
        tool("exec", {"input": TEXT}, ["input"]),
        tool("shut", {"a": TEXT}, ["a"], additionalProperties=False),
        tool("pair", {"a": TEXT, "b": {"type": "number"}}, ["a", "b"]),
        PATCH,
    )
)
MORE = [
    Row("body, only text", f"{B}<tool>bash</tool>\nls -la\n{E}", [("bash", {"command": "ls -la"})]),
    Row(
        "body, free-form",
        f"{B}<tool>patch</tool>\n*** Begin\n{E}",
        [("patch", {"input": "*** Begin"})],
        box=ONE_OF,
    ),
    Row(
        "free-form",
        f"{B}<tool>patch</tool><in_input>\n a\n</in_input>{E}",
        [("patch", {"input": " a"})],
        box=ONE_OF,
    ),
    Row("words between", f"{HEAD}\nthe file:\n<in_path>a.py</in_path>{E}", [READ]),
    Row("body, words", f"{B}<tool>write</tool>some words{E}", [], "repair"),
    Row("in_json", f'{HEAD}<in_json>{{"path":"a.py"}}</in_json>{E}', [READ]),
    Row(
        "in_json, envelope",
        f'{HEAD}<in_json>{{"name":"read","arguments":{{"path":"a.py"}}}}</in_json>{E}',
        [READ],
    ),
    Row("in_json, words", f"{HEAD}<in_json>[1]</in_json>{E}", [], "repair"),
    Row("JSON key with its prefix", f'{HEAD}{{"in_path":"a.py"}}{E}', [READ]),
    Row("arguments, list", '{"name":"read","arguments":[1]}', [], "repair"),
    Row("arguments, words", '{"name":"read","arguments":"a.py"}', [], "repair"),
    Row("arguments, text twice", '{"name":"read","arguments":"\\"\\\\\\"a\\\\\\"\\""}', [], "repair"),
    Row("arguments, empty list", '{"name":"now","arguments":[]}', [NOW]),
    Row(
        "closed schema",
        f"{B}<tool>shut</tool><in_a>x</in_a><in_b>y</in_b>{E}",
        [("shut", {"a": "x"})],
        box=ONE_OF,
    ),
    Row("input of its own", '{"name":"exec","input":"x"}', [("exec", {"input": "x"})], box=ONE_OF),
    Row(
        "union",
        f'{HEAD}<in_path>a</in_path><in_lines>[1,"2"]</in_lines>{E}',
        [("read", {"path": "a", "lines": [1, 2]})],
        box=ONE_OF,
    ),
    Row("union, fault", f"{HEAD}<in_path>a</in_path><in_lines>x</in_lines>{E}", [], "repair", box=ONE_OF),
    Row(
        "number",
        f"{B}<tool>pair</tool><in_a>x</in_a><in_b>5.0</in_b>{E}",
        [("pair", {"a": "x", "b": 5.0})],
        box=ONE_OF,
    ),
    Row("empty list", find("<in_tags></in_tags>"), found(tags=[])),
    Row("self-closing", f"{B}<tool>find</tool><in_q>x</in_q><in_tags/>{E}", found(tags=[])),
    Row("self-closing, value", '<invoke name="read"><parameter name="path" value="a.py"/></invoke>', [READ]),
    Row(
        "attribute, key glued",
        '<tool_call name="read">path</arg_key><arg_value>a.py</arg_value></tool_call>',
        [READ],
    ),
    Row(
        "words beside arguments",
        f"{B}<tool>write</tool><in_path>a</in_path>so<in_content>b</in_content>{E}",
        [("write", {"path": "a", "content": "b"})],
    ),
    Row("lines of others", f"{B}<tool>write</tool>\na: b\n{E}", [], "repair"),
    Row("broken JSON in a block", f'{B}{{"tool" "read"}}{E}', [], "repair"),
    Row("arguments alone", '{"arguments":{"path":"a"}}', ['{"arguments":{"path":"a"}}'], "stop"),
    Row("another type", '{"type":5,"name":"read"}', ['{"type":5,"name":"read"}'], "stop"),
    Row("a name that is none", '{"name":5,"arguments":{}}', ['{"name":5,"arguments":{}}'], "stop"),
    Row("marked, undeclared", '[call:fly]{"path":"a"}', ['[call:fly]{"path":"a"}'], "stop"),
    Row("marked, cut", '[call:read]{"path":"a', [], "repair"),
    Row("marked, cut by length", '[call:read]{"path":"a', ['[call:read]{"path":"a'], "length", "length"),
    Row("marked, broken", "[call:read]{path}", ["[call:read]{path}"], "stop"),
    Row("marked, list", "[call:read][1]", ["[call:read][1]"], "stop"),
    Row("brackets, broken", "read({path})", ["read({path})"], "stop"),
    Row("brackets, no value", "read({", [], "repair"),
    Row("brackets, two texts", 'write("a", "b")', ['write("a", "b")'], "stop"),
    Row("brackets, one too many", 'read("a.py", "b")', ['read("a.py", "b")'], "stop"),
    Row("name too long", f"{B}<tool>{'x' * 200}</tool>{E}", [], "repair"),
    Row("two names", f"{B}<tool>now</tool><tool>read</tool><in_path>a.py</in_path>{E}", [NOW, READ]),
    Row("call in brackets", f'{B}\nread({{"path":"a.py"}})\n{E}', [READ]),
    Row(
        "C7 name's line",
        "<tool_call>read<tool_call><arg_key>path</arg_key><arg_value>a.py</arg_value></tool_call>",
        [READ],
    ),
    Row(
        "C3 undeclared",
        "<tool_call>reed\npath</arg_key><arg_value>a.py</arg_value></tool_call>",
        [],
        "repair",
    ),
    Row("key without a value", "<tool_call>read<arg_key>path", [], "repair"),
    Row("wrapper, then words", '<function_calls>\n<invoke name="now"></invoke>\nNow I wait.', [NOW]),
    Row(
        "wrapper in a call",
        '<invoke name="now"><function_calls><invoke name="read"><path>a.py</path></invoke></function_calls>',
        [NOW, READ],
    ),
    Row("JSON in a fence, words behind", f"```json\n{PLAIN}\n```\nI wait.", [READ]),
    Row(
        "JSON in a fence, no call",
        '```json\n{"name":"read","arguments":{"path":"a.p\n```\nbye',
        ['```json\n{"name":"read","arguments":{"path":"a.p\n```\nbye'],
        "length",
        "length",
    ),
    Row(
        "block in a fence, words behind",
        f"```\n{HEAD}<in_path>a.py</in_path>{E}\n```\nand\n{B}<tool>now</tool>{E}",
        [READ, "and", NOW],
    ),
    Row("print", 'print(read(path="a.py"))', [READ]),
    Row("brackets, cut", 'read({"path":"a.p', [], "repair"),
    Row("brackets, cut by length", 'read({"path":"a.p', ['read({"path":"a.p'], "length", "length"),
    Row("brackets, open", 'read({"path":"a.py"}', [READ]),
    Row("Action, no name", "Action: fly\nAction Input: x", ["Action: fly\nAction Input: x"], "stop"),
    Row(
        "Action, cut by length",
        "Action: read\nAction Input: a.p",
        ["Action: read\nAction Input: a.p"],
        "length",
        "length",
    ),
    Row("doubled, different", 'read\n{"path":"a.py"}{"limit":5}', [READ]),
    Row("doubled, cut", 'read\n{"path":"a.py"}{"pa', [READ]),
    Row("think to the end", "<think>so", [], "repair"),
    Row("think, half closed", "<think>so</thi", [], "repair"),
    Row(
        "list of others",
        '[{"name":"read","arguments":{"path":"a"}},5]',
        ['[{"name":"read","arguments":{"path":"a"}},5]'],
        "stop",
    ),
    Row("own JSON", '{"name":"read","version":"1.0"}', ['{"name":"read","version":"1.0"}'], "stop"),
    Row("type first", '{"type":"function","function":{"name":"read","arguments":{"path":"a.py"}}}', [READ]),
    Row(
        "result in a string", 'read({"path":"a\nObservation: b"})', [("read", {"path": "a\nObservation: b"})]
    ),
]


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
