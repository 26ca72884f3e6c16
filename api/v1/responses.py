"""POST /v1/responses, and /v1/responses/{id} with /input_items: OpenAI's responses."""

from starlette.routing import Route

from lib.dialects.openai_responses import error_body
from lib.web.app import create_app
from lib.web.responses import create_response, delete_response, get_response

app = create_app(
    Route("/v1/responses", create_response, methods=["POST"]),
    Route("/v1/responses/{response_id}", get_response),
    Route("/v1/responses/{response_id}", delete_response, methods=["DELETE"]),
    Route("/v1/responses/{response_id}/input_items", get_response),
    error_body=error_body,
)
