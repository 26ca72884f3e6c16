"""The application of POST /v1/audio/transcriptions and POST /v1/audio/speech."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.chat.audio import TranscriptDone
from lib.dialects.openai_audio import (
    SOUND_TYPES,
    TRANSCRIPT_TYPES,
    parse_speech,
    parse_transcription,
    refuse_json,
    render_transcript,
    render_transcript_event,
)
from lib.dialects.openai_errors import error_body, error_event
from lib.errors import GatewayError
from lib.trace import current_trace
from lib.upstreams.interface import Transcript
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.call import body_limit, call_of
from lib.web.ending import told_as_error
from lib.web.form import read_form
from lib.web.headers import reply_headers
from lib.web.overload import share_of
from lib.web.pieces import PiecesResponse
from lib.web.streaming import EventStreamResponse


def audio_app(transcriptions: str, *, speech: str) -> Starlette:
    return create_app(
        Route(transcriptions, create_transcription, methods=["POST"]),
        Route(speech, create_speech, methods=["POST"]),
        error_body=error_body,
    )


async def create_transcription(request: Request) -> Response:
    call = call_of(request)
    async with AsyncExitStack() as resources:
        form = resources.enter_context(await read_form(request, limit=await body_limit(request, call)))
        refuse_json(form.json)
        asked = parse_transcription(form.texts, file_name=form.file_names.get("file"))
        opened = call.services.sounds.open_transcript(asked, form.files["file"], call)
        transcript = await resources.enter_async_context(opened)
        headers = reply_headers(transcript.started, upstream="api")
        if asked.stream:
            return EventStreamResponse(
                _frames(transcript),
                headers,
                resources=resources.pop_all(),
                heartbeat_s=call.settings.heartbeat_s,
            )
        (text,) = [event.text async for event in transcript.events if isinstance(event, TranscriptDone)]
        content = render_transcript(text, asked.form)
    return Response(content, headers=headers, media_type=TRANSCRIPT_TYPES[asked.form])


async def create_speech(request: Request) -> Response:
    call = call_of(request)
    limit = await body_limit(request, call)
    asked = parse_speech(await read_body(request, limit=limit))
    share_of(request).hold_more(asked.memory_bytes, limit=limit)  # The sound counts like a body.
    async with AsyncExitStack() as resources:
        speech = await resources.enter_async_context(call.services.sounds.open_speech(asked, call))
        return PiecesResponse(
            speech.pieces,
            reply_headers(speech.started, upstream="api"),
            media_type=SOUND_TYPES[asked.form],
            resources=resources.pop_all(),
        )


async def _frames(transcript: Transcript) -> AsyncGenerator[bytes]:
    """Render the events. An error between them is the last event."""
    try:
        with told_as_error():
            async for event in transcript.events:
                yield render_transcript_event(event)
    except GatewayError as error:
        current_trace().failed(error)
        yield error_event(error)
