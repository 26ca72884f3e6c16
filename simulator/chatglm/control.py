"""The control of the simulated chatglm.cn over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from simulator.control import control_route
from simulator.steps import Pause

from .direction import Direction
from .state import SceneLike

Order = dict[str, Any]


def control_routes(sim: Direction) -> list[Route]:
    control = _Control(sim)
    return [
        control_route("GET", "state", lambda _: sim.state()),
        control_route("GET", "prompts", control.prompts),
        control_route("POST", "play", control.play),
        control_route("POST", "fail", control.fail),
        control_route("POST", "reset", control.reset),
        control_route("POST", "accounts", control.add_account),
        control_route("POST", "accounts/{uid}/{action}", control.act_on_account, unknown_status=404),
    ]


class _Control:
    def __init__(self, sim: Direction) -> None:
        self._sim = sim

    def play(self, order: Order) -> Order:
        self._sim.play(_read_scene(order.pop("scene")), **order)
        return {}

    def fail(self, order: Order) -> Order:
        self._sim.fail(order.pop("path_suffix"), **order)
        return {}

    def reset(self, order: Order) -> Order:
        self._sim.reset(**order)
        return {}

    def prompts(self, order: Order) -> Order:  # noqa: ARG002
        """List every prompt that was answered."""
        with self._sim.lock:
            chats = list(self._sim.conversations.values())
            return {"prompts": [turn.prompt for chat in chats for turn in chat.turns]}

    def add_account(self, order: Order) -> Order:
        refresh_token = self._sim.add_account(**order)
        return {"refresh_token": refresh_token, "uid": self._sim.account(refresh_token).uid}

    def act_on_account(self, order: Order) -> Order:
        sim, uid = self._sim, order["uid"]
        if order["action"] == "log_in":
            return {"refresh_token": sim.log_in(uid)}
        actions = {"revoke": sim.revoke, "block": sim.block, "expire_access_tokens": sim.expire_access_tokens}
        actions[order["action"]](uid)
        return {}


def _read_scene(scene: Any) -> SceneLike:
    """Read a name, or a list of events, raw strings and `{"pause_s": number}`."""
    if isinstance(scene, str):
        return scene
    return [_read_step(step) for step in scene]


def _read_step(step: Any) -> Any:
    if isinstance(step, str):
        return step.encode()
    return Pause(step["pause_s"]) if set(step) == {"pause_s"} else step
