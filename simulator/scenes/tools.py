"""Server-side tools: search, code interpreter, drawing."""

from __future__ import annotations

import json
from collections.abc import Iterator

from simulator.steps import PACE, Cue, Json, Script, Step, text_item

from .registry import scene

SEARCH_RESULTS = [
    {
        "title": f"Result {index}: {title}",
        "url": f"https://example.com/{slug}",
        "host_name": "example.com",
        "index": index,
        "snippet": f"<p>{title}, in short</p>",
        "match_key": f"turn0search{index}",
    }
    for index, (title, slug) in enumerate(
        [
            ("高温黄色预警", "heat"),
            ("Suzhou weather", "sz?a=1&b=2"),
            ("Air quality", "air"),
            ("深圳天气", "szx"),
        ]
    )
]
_QUERY = "深圳 今天 天气"


def _tool_call(name: str, arguments: str = "{}") -> Json:
    return {"type": "tool_calls", "tool_calls": {"id": f"tool-{name}", "name": name, "arguments": arguments}}


def search(script: Script, query: str, results: list[Json]) -> Iterator[Step]:
    asked = json.dumps({"search_query": [{"q": query, "recency": 1}]}, ensure_ascii=False)
    call = _tool_call("search", asked)
    yield script.event(script.part("call", call, meta_data={"show_type": "mc_tool_call2"}))
    extra = {"tool_call_name": "search", "search_duration": 6.7, "search_results": results}
    yield script.finish_part(
        "result",
        call | {"type": "tool_result"},
        role="tool",
        meta_data={"show_type": "mc_tool_result2", "tool_result_extra": extra},
    )


@scene()
def web_search(cue: Cue) -> Iterator[Step]:
    """Think, search, finish the tools, answer with citations of 2026 cut over increments."""
    pieces = [
        "深圳今天",
        "多云间晴天【",
        "turn0se",
        "arch3",
        "】，气温 26~33℃",
        "【turn0search0】【turn0sea",
        "rch1】。",
    ]
    pieces += [" See also", " turn0search2", " and 【turn9search9】", "."]
    script = Script(cue)
    yield script.opening()
    yield from script.write("think", "拆解用户请求：今天深圳天气")
    yield from search(script, _QUERY, SEARCH_RESULTS)
    yield from script.write("think", "四个来源，足够了。")
    yield script.event(script.part("done", _tool_call("finish")))
    yield from script.write("text", "".join(pieces), pieces=pieces)
    yield script.finish()


@scene()
def web_search_old(cue: Cue) -> Iterator[Step]:
    """Search as of 2024: quote_result with metadata_list, markers 【12†source】."""
    links = [
        {
            "type": "webpage",
            "title": f"Page {number}",
            "url": f"https://example.org/{number}",
            "text": f"text {number}",
        }
        for number in range(13)
    ]
    pieces = ["Old style", "【", "12†sour", "ce】 and", "【3†来源】 也", "【0†源】", "."]
    script = Script(cue)
    yield script.opening()
    browser = {"type": "browser_result", "content": json.dumps(links[:2]), "status": "finish"}
    yield script.finish_part("browser", browser, role="tool")
    quote = {"type": "quote_result", "status": "finish"}
    yield script.finish_part("quote", quote, role="tool", meta_data={"metadata_list": links})
    yield from script.write("text", "".join(pieces), pieces=pieces)
    yield script.finish()


@scene()
def plain_brackets(cue: Cue) -> Iterator[Step]:
    """Use 【…】 that is no citation, one of them left open to the end."""
    pieces = [
        "【注意】",
        "this 【is",
        " not】 a 【citation†",
        "】 nor is",
        "【",
        "】 or ",
        "turn0search",
        " or 【 open",
    ]
    pieces += [" " + "x" * 300, " to the end"]
    script = Script(cue)
    yield script.opening()
    yield from script.write("text", "".join(pieces), pieces=pieces)
    yield script.finish()


@scene()
def failed_tool(cue: Cue) -> Iterator[Step]:
    """Let a server-side tool fail, then go on and answer."""
    script = Script(cue)
    yield script.opening()
    yield script.event(script.part("call", _tool_call("search", _QUERY)))
    failed = {"type": "tool_result", "tool_calls": {"id": "tool-search", "name": "search", "arguments": "{}"}}
    yield script.event(script.part("result", failed, role="tool", status="error"))
    yield script.event(
        script.part("old", {"type": "system_error", "content": "tool timed out"}, role="tool", status="error")
    )
    yield from script.write("text", "The search failed, but here is an answer anyway.")
    yield script.finish()


@scene()
def code_interpreter(cue: Cue) -> Iterator[Step]:
    """Write code, run it, answer with a sandbox path and a fenced block of its own."""
    code = "import math\n\nprint(math.factorial(10))\n"
    script = Script(cue)
    yield script.opening()
    yield from script.write("text", "Let me compute that.")
    for end in (11, 20, len(code)):
        yield script.event(script.part("code", {"type": "code", "code": code[:end]}, recipient="ipython"))
    yield script.finish_part("code", {"type": "code", "code": code}, recipient="ipython")
    output = {"type": "execution_output", "content": "3628800\n"}
    yield script.finish_part("output", output, role="tool")
    yield from script.write("text", "10! is 3628800; saved to [result.csv](sandbox:/mnt/data/result.csv).")
    yield script.finish()


def _image_url(cue: Cue, number: int) -> str:
    return f"{cue.image_base}/{cue.history_id}_{number}_0.jpg"


@scene()
def images(cue: Cue) -> Iterator[Step]:
    """Draw four images, or `count`, out of order under one logic_id, as captured on 2026-09-30."""
    script = Script(cue)
    yield script.event(script.part("images", text_item("")), increase=None)
    *others, last = range(cue.count("count", 4))
    for number in (last, *others):
        item = {"type": "image", "image": [{"image_url": _image_url(cue, number)}], "code": cue.prompt}
        yield script.event(script.part("images", item), increase=None)
        yield PACE
    ending = {"type": "one_to_more_finish", "image": [{}]}
    yield script.finish(script.part("images", ending, status="finish"))


@scene()
def images_old(cue: Cue) -> Iterator[Step]:
    """Draw two images as of 2024: one finished part each, then a text."""
    script = Script(cue)
    yield script.opening()
    for number in (0, 1):
        item = {
            "type": "image",
            "image": [{"image_url": _image_url(cue, number)}],
            "code": "a cat",
            "status": "finish",
        }
        yield script.finish_part(f"image{number}", item)
    yield from script.write("text", "Here are two cats.")
    yield script.finish()


@scene()
def images_as_links(cue: Cue) -> Iterator[Step]:
    """Draw as of 2025: a finished text part with a Markdown link."""
    script = Script(cue)
    yield script.opening()
    content = f"Done: ![a cat]({_image_url(cue, 0)})"
    cue.said.append(content)
    yield script.finish_part("links", text_item(content))
    yield script.finish()


@scene()
def images_none(cue: Cue) -> Iterator[Step]:
    """Finish the drawing without an image."""
    script = Script(cue)
    yield script.event(script.part("images", text_item("")), increase=None)
    yield script.finish(script.part("images", {"type": "one_to_more_finish", "image": [{}]}, status="finish"))
