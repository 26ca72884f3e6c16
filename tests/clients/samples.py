"""Tasks for the simulator's model: a loop of a dozen calls, a city as structured output, and an image."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
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


PNG = b"\x89PNG\r\n\x1a\n" + bytes(99)
PNG_BASE64 = b64encode(PNG).decode()
PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
PNG_SEEN = sha256(PNG).hexdigest()
LOOK = "[scene:files] Describe the image."
"""The simulator answers with the checksums of the files that it was given."""
