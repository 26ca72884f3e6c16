"""Rows of tools.md §4 in the taught syntax: A, right but tricky; B, damaged."""

from __future__ import annotations

from typing import Any, NamedTuple

from lib.chat.events import FinishReason
from lib.tools.toolbox import Toolbox
from tests.unit.tools.samples import CLOSE as E
from tests.unit.tools.samples import FORCED, box_of
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
