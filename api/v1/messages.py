"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's dialect."""

from lib.dialects import anthropic
from lib.web.chat import chat_app

app = chat_app("/v1/messages", anthropic, count="/v1/messages/count_tokens")
