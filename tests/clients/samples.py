"""Tasks for the simulator's model: a loop of a dozen calls, and a city as structured output."""

from __future__ import annotations

import json
from typing import Any

CODE = 'def f(a):\n    """Say "hi"."""\n    return "</in_content>" if a < 1 else "C:\\\\new"\n'
"""A file whose quotes, tags and backslashes must arrive as they are."""
_STEPS = [
    f"write_file {json.dumps({'path': 'a.py', 'content': CODE})}",
    "read_file path=a.py limit=5",
    'plan steps=[{"title":"one"},{"title":"two"}]',
    "find_text words=needle",
    "8 times read_file path=file$i.txt limit=$i",
    'answer "read: $2"',
]
LOOP = f"[scene:agent] [agent: {'; then '.join(_STEPS)}]"
"""Twelve calls, one in each answer, and then the answer."""
CALLED: list[tuple[str, dict[str, Any]]] = [
    ("write_file", {"path": "a.py", "content": CODE}),
    ("read_file", {"path": "a.py", "limit": 5}),
    ("plan", {"steps": [{"title": "one"}, {"title": "two"}]}),
    ("find_text", {"words": "needle"}),
    *(("read_file", {"path": f"file{number}.txt", "limit": number}) for number in range(5, 13)),
]
"""The calls of the loop."""
SAID = f"read: {CODE}"

CITY = {"name": "苏州", "people": 13_000_000, "tags": ["canals", 'a "garden"']}


def describe(mistake: str = "", *, tool: str = "") -> str:
    """Ask for the city as the answer, or as the arguments of a tool."""
    scene = f"[scene:agent mistake={mistake}]" if mistake else "[scene:agent]"
    return f"{scene} Describe a city. [agent: {tool or 'answer'} {json.dumps(CITY)}]"
