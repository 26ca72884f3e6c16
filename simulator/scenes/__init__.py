"""The named scenes of chatglm.cn: one for each thing in protocol.md §3 and §7 that a chat meets."""

from __future__ import annotations

from . import agents as agents
from . import broken as broken
from . import examples as examples
from . import files as files
from . import friendly as friendly
from . import history as history
from . import plain as plain
from . import refusals as refusals
from . import replay as replay
from . import tools as tools
from . import volume as volume
from .registry import SCENES, Ending, SceneEntry, read_tag, strip_tags
from .samples import sample_text

__all__ = ["SCENES", "Ending", "SceneEntry", "read_tag", "sample_text", "strip_tags"]
