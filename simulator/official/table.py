"""The models of the official API (official.md §9), as far as requests are checked by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Thinking = Literal["always", "effort", "type", "never"]
"""How thinking is switched (official.md §2.2): by low, high, max only; by effort or type; by type; not."""


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    max_output: int
    thinking: Thinking
    sees: bool = False
    is_free: bool = False
    has_tools: bool = True
    in_list: bool = True
    """False if `GET /models` leaves the model out although it answers (seen 2026-08)."""
    in_flight: int = 4
    """So many requests of one key run at once; the next one is refused with 1302."""

    @property
    def streams_tools(self) -> bool:
        """True if `tool_stream` is known: 4.6 and later."""
        return self.id.startswith(("glm-5", "glm-4.7", "glm-4.6")) and not self.sees


def _k(thousands: int) -> int:
    return thousands * 1024


MODELS = {
    model.id: model
    for model in (
        Model("glm-5.3", _k(128), "always"),
        Model("glm-5.3-flash", _k(128), "always", sees=True),
        Model("glm-5.2", _k(128), "effort"),
        Model("glm-5.1", _k(128), "type"),
        Model("glm-5", _k(128), "type"),
        Model("glm-4.7", _k(128), "type"),
        Model("glm-4.7-flash", _k(128), "type", is_free=True, in_list=False, in_flight=1),
        Model("glm-4.6", _k(128), "type"),
        Model("glm-4.5", _k(96), "type"),
        Model("glm-4.5-air", _k(96), "type"),
        Model("glm-4.5-flash", _k(96), "type", is_free=True, in_list=False),
        Model("glm-4-flash-250414", _k(16), "never", is_free=True, in_list=False),
        Model("glm-4-long", _k(4), "never"),
        Model("glm-4.6v", _k(32), "type", sees=True),
        Model("glm-4.6v-flash", _k(32), "type", sees=True, is_free=True, in_list=False),
        Model("glm-4.5v", _k(16), "type", sees=True),
        Model("glm-4.1v-thinking-flash", _k(16), "never", True, True, has_tools=False, in_list=False),
        Model("glm-4v-flash", _k(1), "never", sees=True, is_free=True, has_tools=False, in_list=False),
    )
}
IMAGE_MODELS = {"glm-image": False, "cogview-4": False, "cogview-4-250304": False, "cogview-3-flash": True}
"""True for the free one."""
VIDEO_MODELS = {"cogvideox-3": False, "cogvideox-2": False, "cogvideox-flash": True, "viduq1-text": False}
EMBEDDING_MODELS = {"embedding-3": (256, 512, 1024, 2048), "embedding-2": (1024,)}
VOICES = ("tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo")
