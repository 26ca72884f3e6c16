"""The estimate of a prompt's tokens, for the dialects that have an endpoint for it."""

from __future__ import annotations

import msgspec

from lib.chat.request import ChatRequest, Tool
from lib.chat.usage import estimate_tokens, prompt_tokens


def count_prompt(chat: ChatRequest) -> int:
    """Estimate the tokens of the messages and the tools; images and files are not in it."""
    return prompt_tokens(chat.messages) + sum(estimate_tokens(_words(tool)) for tool in chat.tools)


def _words(tool: Tool) -> str:
    return f"{tool.name}: {tool.description} {msgspec.json.encode(tool.schema).decode()}"
