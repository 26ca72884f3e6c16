"""The control of the simulated official API over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from simulator.control import control_route

from .direction import Direction

Order = dict[str, Any]


def control_routes(sim: Direction) -> list[Route]:
    def play(order: Order) -> Order:
        sim.play(order.pop("scene"), **order)
        return {}

    def fail(order: Order) -> Order:
        sim.fail(order.pop("path_suffix"), **order)
        return {}

    def reset(order: Order) -> Order:
        sim.reset(**order)
        return {}

    return [
        control_route("GET", "state", lambda _: sim.state()),
        control_route("POST", "keys", lambda order: {"key": sim.add_key(**order)}),
        control_route("POST", "play", play),
        control_route("POST", "fail", fail),
        control_route("POST", "reset", reset),
    ]
