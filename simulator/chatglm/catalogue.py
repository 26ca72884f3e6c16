"""The agents, models and drawing styles that chatglm.cn offers."""

from __future__ import annotations

MAIN_AGENT = "65940acff94777010aa6b796"
DRAWING_AGENT = "65a232c082ff90a2ad2f15e2"
AGENTS = {
    MAIN_AGENT: "main",
    DRAWING_AGENT: "drawing",
    "676411c38945bbc58a905d31": "think",
    "65c046a531d3fcb034918abe": "public",
}
"""protocol.md §2.3"""

ASPECT_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9")
DRAWING_STYLES = {"none": "无", "watercolor": "水彩", "oil_painting": "油画", "pixel": "像素"}
"""The endpoint is known; its shape and its entries are our own invention."""

_EFFORTS = [
    {"display_name": "快速", "effort": "", "am_effort": "low", "description": ""},
    {"display_name": "深度", "effort": "thinking", "am_effort": "high", "description": "处理复杂任务"},
    {
        "display_name": "极致",
        "effort": "deep_thinking",
        "am_effort": "max",
        "description": "全力推理，耗时更长",
    },
]
AVAILABLE_MODELS = {
    "default": dict.fromkeys(("agent", "am", "guest", "non_vip", "svip", "vip"), "glm-5.3-flash"),
    "models": [
        {
            "display_name": "GLM-5.3",
            "selected_model": "glm-5.3",
            "display_tag": [],
            "description": "",
            "am_description": "",
            "am_switch": True,
            "chat_switch": True,
            "reasoning_efforts": _EFFORTS,
        },
        {
            "display_name": "GLM-Flash",
            "selected_model": "glm-5.3-flash",
            "display_tag": ["new"],
            "description": "5.3-Flash，回复速度快",
            "am_description": "5.3-Flash，积分消耗大幅降低",
            "am_switch": True,
            "chat_switch": True,
            "reasoning_efforts": _EFFORTS,
        },
    ],
}
"""Captured 2026-09-29. The capture abbreviates the second model; it is completed after the first."""
