"""Markdown becomes nodes. A tag, a script or a foreign picture in an answer does nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.browsing import Tab, say, wait_for_answer

RENDER = """async (text) => {
    const { showMarkdown } = await import("./markdown.js");
    const node = document.createElement("div");
    showMarkdown(node, text);
    return node.outerHTML;
}"""
SHOW = """async (text) => {
    const { showMarkdown } = await import("./markdown.js");
    document.getElementById("shown")?.remove();
    const node = document.createElement("div");
    node.id = "shown";
    document.body.append(node);
    showMarkdown(node, text);
}"""
HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<svg onload='window.hit = 1'></svg>",
    "<iframe src='https://evil.example/'></iframe>",
    "<a href='javascript:window.hit=1'>x</a>",
    "[x](javascript:window.hit=1)",
    "[x]( JaVaScRiPt:window.hit=1)",
    "[x](data:text/html,<script>window.hit=1</script>)",
    "[x](vbscript:window.hit=1)",
    "![x](https://evil.example/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "[![x](https://evil.example/pixel.png)](https://evil.example/)",
    '<https://evil.example/" onclick="window.hit=1>',
    "`<b onmouseover=window.hit=1>`",
    '```"><img src=x onerror=window.hit=1>\n<script>window.hit=1</script>\n```',
    "| a | <img src=x onerror=window.hit=1> |\n|---|---|\n| <script>window.hit=1</script> | b |",
    "# <img src=x onerror=window.hit=1>",
    "> - <style>@import 'https://evil.example/a.css'</style>",
    "<form action='https://evil.example/'><button>Connect</button></form>",
]


TOUCH = """(node) => {
    for (const one of node.querySelectorAll("*")) one.dispatchEvent(new Event("mouseover"));
}"""
ACTIVE = "script, iframe, style, form, svg, object, embed, img[src^=http], [onerror], [onclick], [onload]"


def holds_nothing_active(page: Page, prose: Locator) -> None:
    assert prose.locator(ACTIVE).count() == 0
    for link in prose.locator("a").all():
        assert (link.get_attribute("href") or "").startswith(("http://", "https://"))
    prose.evaluate(
        "(node) => node.querySelectorAll('*').forEach((one) => one.dispatchEvent(new Event('mouseover')))"
    )
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize("text", HOSTILE)
def test_injected_markup_is_text(paper: Page, text: str) -> None:
    paper.evaluate(SHOW, text)
    holds_nothing_active(paper, paper.locator("#shown"))


def test_an_answer_with_all_of_them_is_text(tab: Tab) -> None:
    page = tab.connect()
    say(page, "[scene:echo strip=1]\n" + "\n\n".join(HOSTILE))
    answer = wait_for_answer(page)
    expect(answer).to_contain_text("window.hit")
    holds_nothing_active(page, answer.locator(".prose"))


CASES = [
    (
        "plain **bold** *thin* ~~gone~~ `a*b`",
        "<p>plain <strong>bold</strong> <em>thin</em> <del>gone</del> <code>a*b</code></p>",
    ),
    ("中文**加粗**，_斜体_。", "<p>中文<strong>加粗</strong>，<em>斜体</em>。</p>"),
    ("snake_case_name 2*3*4", "<p>snake_case_name 2<em>3</em>4</p>"),
    ("a\nb", "<p>a<br>b</p>"),
    ("# One\n## Two ##", "<h3>One</h3><h4>Two</h4>"),
    ("- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
    ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("1. a\n\n   more\n\n2. b", "<ol><li>a<p>more</p></li><li>b</li></ol>"),
    (
        "- [x] done\n- [ ] open",
        '<ul><li><span class="task">☑ </span>done</li><li><span class="task">☐ </span>open</li></ul>',
    ),
    ("> a\n> b\n\nc", "<blockquote><p>a<br>b</p></blockquote><p>c</p>"),
    ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    ("\\*a\\* \\<b>", "<p>*a* &lt;b&gt;</p>"),
    ("***both***", "<p><strong><em>both</em></strong></p>"),
    ("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"),
    ("1 < 2 && <b>x</b>", "<p>1 &lt; 2 &amp;&amp; &lt;b&gt;x&lt;/b&gt;</p>"),
    ("a **open", "<p>a **open</p>"),
    ("``a`b``", "<p><code>a`b</code></p>"),
]


@pytest.mark.parametrize(("text", "html"), CASES)
def test_markdown_is_shown_as_it_is_meant(paper: Page, text: str, html: str) -> None:
    assert paper.evaluate(RENDER, text) == f"<div>{html}</div>"


def test_links_open_elsewhere_and_take_no_address_along(paper: Page) -> None:
    attributes = 'target="_blank" rel="noopener noreferrer"'
    shown: str = paper.evaluate(
        RENDER, '[a](https://x.example/a_(b)?c=1&d=2 "t") see https://y.example/z. <https://w.example>'
    )
    assert f'<a href="https://x.example/a_(b)?c=1&amp;d=2" {attributes}>a</a>' in shown
    assert f'<a href="https://y.example/z" {attributes}>https://y.example/z</a>.' in shown
    assert f'<a href="https://w.example/" {attributes}>https://w.example</a>' in shown


def test_a_picture_of_another_origin_is_a_link_with_its_words(paper: Page) -> None:
    shown: str = paper.evaluate(RENDER, "![a red cat](https://x.example/cat.png)")
    assert "<img" not in shown
    assert 'href="https://x.example/cat.png"' in shown
    assert "a red cat" in shown


def test_code_and_tables(tab: Tab) -> None:
    page = tab.connect()
    say(
        page,
        "[scene:echo strip=1]\n```python\nif a < b:\n    pass\n```\n\n"
        "| a | b |\n|:-:|--:|\n| 1 \\| 2 | `3` |",
    )
    answer = wait_for_answer(page)
    expect(answer.locator("pre code")).to_have_text("if a < b:\n    pass")
    expect(answer.locator(".code-head")).to_contain_text("python")
    expect(answer.get_by_role("cell").first).to_have_text("1 | 2")
    assert answer.get_by_role("columnheader").count() == 2
    answer.get_by_role("button", name="Copy code").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()


GROWING = """async (text) => {
    const { showMarkdown } = await import("./markdown.js");
    const whole = document.createElement("div"), growing = document.createElement("div");
    showMarkdown(whole, text);
    for (let end = 0; end <= text.length; end += 1) showMarkdown(growing, text.slice(0, end));
    return growing.innerHTML === whole.innerHTML;
}"""


@pytest.mark.parametrize(
    "text", ["".join(f"{text}\n\n" for text, _ in CASES), "```js\n1\n```\n- a\n\n  b\n| a |\n|-|\n| 1 |\nend"]
)
def test_a_text_that_grows_ends_as_the_whole(paper: Page, text: str) -> None:
    assert paper.evaluate(GROWING, text) is True


SLOW = {
    "brackets": "[" * 15_000,
    "stars": "*a " * 6_000,
    "stars without a space": "**a" * 6_000,
    "backticks": "`a``" * 4_000,
    "quotes": ">" * 5_000 + " a",
    "pictures": "![" * 7_000,
    "underscores": "_a __b " * 2_500,
    "links": "[a](b" * 3_500,
    "lists": "".join("  " * level + "- a\n" for level in range(300)),
    "lines": "a\n" * 50_000,
    "table": "|a" * 5_000 + "\n" + "|-" * 5_000,
}


TIMED = f"""async (text) => {{
    const began = performance.now();
    await ({RENDER})(text);
    return performance.now() - began;
}}"""


@pytest.mark.parametrize("name", SLOW)
def test_no_text_stops_the_page(paper: Page, name: str) -> None:
    spent_ms: float = paper.evaluate(TIMED, SLOW[name])
    assert spent_ms < 4_000
