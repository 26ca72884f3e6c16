"""Checks the owner's keys by GET /models, which costs nothing and needs no balance (official.md §1.1)."""

from __future__ import annotations

import asyncio

from lib.errors import AccountRefused, GatewayError, PermissionDenied
from lib.upstreams.condition import KeyHealth
from lib.upstreams.official.gateway import MODELS, OfficialGateway
from lib.upstreams.official.wire.keys import Key


async def check_keys(gateway: OfficialGateway, until: float) -> list[KeyHealth]:
    """Check the keys one after the other. The ones for which there is no time are not checked."""
    keys = enumerate(map(Key, gateway.settings.official_keys), 1)
    return [await _check(gateway, number, key, until) for number, key in keys]


async def _check(gateway: OfficialGateway, number: int, key: Key, until: float) -> KeyHealth:
    try:
        async with asyncio.timeout_at(until):
            await gateway.api.get(key, MODELS)
    except TimeoutError:
        return KeyHealth(key=number, label=key.label, state="not_checked")
    except (AccountRefused, PermissionDenied) as error:
        return KeyHealth(key=number, label=key.label, state="refused", problem=error.message)
    except GatewayError as error:
        return KeyHealth(key=number, label=key.label, state="unknown", problem=error.message)
    return KeyHealth(key=number, label=key.label, state="alive")
