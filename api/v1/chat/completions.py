"""POST /v1/chat/completions: OpenAI's chat; POST /v1/completions: its legacy form."""

from starlette.routing import Route

from lib.dialects import openai_chat, openai_completions
from lib.web.app import create_app
from lib.web.chat import chat_endpoint

app = create_app(
    Route("/v1/chat/completions", chat_endpoint(openai_chat), methods=["POST"]),
    Route("/v1/completions", chat_endpoint(openai_completions), methods=["POST"]),
    error_body=openai_chat.error_body,
)
