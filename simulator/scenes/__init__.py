"""The named scenes: one for everything in protocol.md §3 and §7 that chat touches."""

from __future__ import annotations

from . import broken as broken
from . import files as files
from . import history as history
from . import plain as plain
from . import refusals as refusals
from . import replay as replay
from . import tools as tools
from .plain import sample_text
from .registry import SCENES, Ending, SceneEntry, read_tag, strip_tags

__all__ = ["SCENES", "Ending", "SceneEntry", "read_tag", "sample_text", "strip_tags"]
