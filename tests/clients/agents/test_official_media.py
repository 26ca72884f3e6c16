"""The official API behind the gateway, for openai and langchain: vectors, audio, images, videos."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import Any

import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from openai import AsyncOpenAI, OpenAI

from simulator.official.app import Official
from simulator.official.audio import make_sound, wav_of
from simulator.official.vectors import make_vector
from tests.support.client import KEY

WAV = wav_of(make_sound("A recording."))
SAID = f"You sent hello.wav, {len(WAV)} bytes, {hashlib.sha256(WAV).hexdigest()[:12]}. 你好。"

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def langchains(base_url: str, **options: Any) -> OpenAIEmbeddings:
    fields: Any = {"base_url": base_url, "api_key": KEY, "model": "embedding-3", "dimensions": 256}
    return OpenAIEmbeddings(**fields | options)


def test_langchain_embeds_documents_and_a_query(official_url: str, official: Official) -> None:
    embeddings = langchains(official_url, check_embedding_ctx_length=False, chunk_size=200)
    texts = [f"document {number}" for number in range(150)]
    expected = [pytest.approx(make_vector(text, 256), rel=1e-6) for text in texts]
    assert embeddings.embed_documents(texts) == expected
    assert embeddings.embed_query("a query") == pytest.approx(make_vector("a query", 256), rel=1e-6)
    assert len(official.calls_to("embeddings")) == 4


def test_the_refusal_of_langchains_tokens_says_what_to_set(sdk: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        sdk.embeddings.create(model="embedding-3", input=[[9906, 1917]])


async def test_openai_embeds_in_both_forms(async_sdk: AsyncOpenAI) -> None:
    for encoding in ("float", "base64"):
        options: Any = {"encoding_format": encoding} if encoding == "float" else {}
        made = await async_sdk.embeddings.create(
            model="embedding-3", input=["a"] * 70, dimensions=512, **options
        )
        assert len(made.data) == 70
        assert made.data[69].embedding == pytest.approx(make_vector("a", 512), rel=1e-6)


async def test_openai_hears_a_recording_word_by_word(async_sdk: AsyncOpenAI) -> None:
    whole = await async_sdk.audio.transcriptions.create(model="whisper-1", file=("hello.wav", WAV))
    assert whole.text == SAID
    stream = await async_sdk.audio.transcriptions.create(
        model="whisper-1", file=("hello.wav", WAV), stream=True
    )
    events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == SAID
    assert events[-1].type == "transcript.text.done"


def test_openai_speaks(sdk: OpenAI) -> None:
    spoken = sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    assert spoken.content == wav_of(make_sound("Hello"))


def test_openai_draws_and_films(sdk: OpenAI) -> None:
    drawn = sdk.images.generate(model="cogview-4", prompt="a cat", response_format="b64_json")
    assert drawn.data is not None
    assert b64decode(drawn.data[0].b64_json or "").startswith(b"\x89PNG")
    video = sdk.videos.create_and_poll(model="cogvideox-flash", prompt="[scene:order polls=0] a cat")
    assert video.status == "completed"
    assert sdk.videos.download_content(video.id).read()
    assert sdk.videos.delete(video.id).deleted


def test_openai_is_told_of_a_refused_prompt(sdk: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(model="glm-image", prompt="[scene:error code=1301]")
    assert caught.value.code == "content_policy_violation"
