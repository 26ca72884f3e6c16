"""POST /v1/chat/completions: OpenAI's chat."""

from lib.dialects import openai_chat
from lib.web.chat import chat_app

app = chat_app("/v1/chat/completions", openai_chat)
