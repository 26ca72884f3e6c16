"""The named scenes of the official API."""

from __future__ import annotations

from . import bad as bad
from . import good as good
from .registry import SCENES, Ask, Ending, SceneEntry

__all__ = ["SCENES", "Ask", "Ending", "SceneEntry"]
