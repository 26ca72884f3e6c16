"""POST /v1/audio/transcriptions and /v1/audio/speech: OpenAI's audio. Official API only."""

from lib.web.audio import audio_app

app = audio_app("/v1/audio/transcriptions", speech="/v1/audio/speech")
