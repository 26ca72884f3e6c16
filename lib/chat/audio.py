"""Requests for transcripts and for speech, the same for every client."""

from __future__ import annotations

from typing import Literal

import msgspec

TranscriptForm = Literal["json", "text"]
SoundForm = Literal["wav", "pcm"]

WAV_BYTES_OF_CHARACTER = 15_000
"""1,024 characters are some five minutes of sound, with 48 kB a second."""


class TranscriptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The recording itself comes beside it, as a file."""

    model: str = ""
    """The caller's own spelling."""
    prompt: str = ""
    file_name: str = ""
    """The recording's name in the form."""
    form: TranscriptForm = "json"
    stream: bool = False


class TranscriptDelta(msgspec.Struct, frozen=True):
    text: str


class TranscriptDone(msgspec.Struct, frozen=True):
    """The end of a transcript, with all of its text."""

    text: str


TranscriptEvent = TranscriptDelta | TranscriptDone


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    model: str = ""
    """The caller's own spelling."""
    voice: str = ""
    speed: float | None = None
    volume: float | None = None
    form: SoundForm = "wav"

    @property
    def memory_bytes(self) -> int:
        """The sound takes so much memory until it is sent. PCM is sent as it comes."""
        return len(self.text) * WAV_BYTES_OF_CHARACTER if self.form == "wav" else 0
