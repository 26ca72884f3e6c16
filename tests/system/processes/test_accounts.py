"""Accounts that are added while several processes run: over each store, with a writer that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.client import CHAT, KEY, chat_body
from tests.system.processes.programs import Worker
from tests.system.processes.stand import SimulatedAccount, Stand, open_stand, tails
from tests.system.processes.stores import STORES, NotInstalled

STORY_TIMEOUT_S = 120.0


class Caller:
    """The owner, who asks one of the processes."""

    def __init__(self, http: httpx.AsyncClient, worker: Worker) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{worker.port}"

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {KEY}"}
        return await self._http.request(method, self._url + path, json=body, headers=headers)

    async def add(self, token: str) -> int:
        return (await self.ask("POST", "/tokens", {"token": token})).status_code

    async def labels(self) -> list[str]:
        answer = (await self.ask("GET", "/tokens")).json()
        return sorted(account["label"] for account in answer["accounts"])

    async def chat(self) -> httpx.Response:
        return await self.ask("POST", CHAT, chat_body("[scene:text chars=9]"))


Told = dict[str, Any]


async def story(store: Mapping[str, str], folder: Path) -> Told:
    told: Told = {}
    limits = httpx.Timeout(60.0)
    async with (
        open_stand(store, folder, accounts=8, workers=0) as stand,
        httpx.AsyncClient(timeout=limits, trust_env=False, verify=False) as http,
    ):
        with stand.worker("first", []) as first, stand.worker("second", []) as second:
            await asyncio.gather(first.first_line(), second.first_line())
            here, there = Caller(http, first), Caller(http, second)
            told["without an account"] = [(await caller.chat()).status_code for caller in (here, there)]
            told["first account"] = await here.add(stand.accounts[7].token)
            told["chat of the other"] = (await there.chat()).status_code
            await here.ask("DELETE", f"/tokens/{stand.accounts[7].label}")
            await two_write_at_once(told, stand, here, there)
            await one_is_killed(told, stand, first, here, there)
            await one_removes(told, stand, here, there)
            told["violations"] = (await stand.simulator.state())["violations"]
        logs = [log.read_text() for log in stand.gateway_logs()]
        secrets = [KEY, *(account.token for account in stand.accounts)]
        told["secrets in logs"] = [secret for secret in secrets for log in logs if secret in log]
    return told


async def two_write_at_once(told: Told, stand: Stand, here: Caller, there: Caller) -> None:
    six = stand.accounts[:6]
    adding = [(here if number % 2 else there).add(one.token) for number, one in enumerate(six)]
    told["added at once"] = await asyncio.gather(*adding)
    told["seen by both"] = [await caller.labels() == labels(six) for caller in (here, there)]
    told["chats"] = [(await caller.chat()).status_code for caller in (here, there)]


async def one_is_killed(told: Told, stand: Stand, first: Worker, here: Caller, there: Caller) -> None:
    """Kill a process between the refresh of a new account's token and the list."""
    seventh = stand.accounts[6]
    await stand.simulator.tell("fail", path_suffix="user/info", uid=seventh.uid, delay_s=60.0)
    adding = asyncio.ensure_future(here.add(seventh.token))
    await stand.simulator.holds_back("user/info", seventh.uid)
    first.kill()
    with pytest.raises(httpx.TransportError):
        await adding
    told["while one was killed"] = await there.labels() == labels(stand.accounts[:6])
    told["added by the other"] = await there.add(seventh.token)
    first.start_again()
    await first.first_line()
    told["seen after the restart"] = await here.labels() == labels(stand.accounts[:7])
    told["chat after the restart"] = (await here.chat()).status_code


async def one_removes(told: Told, stand: Stand, here: Caller, there: Caller) -> None:
    for account in stand.accounts[:7]:
        await there.ask("DELETE", f"/tokens/{account.label}")
    told["left"] = [await caller.labels() for caller in (here, there)]
    told["chats without any"] = [(await caller.chat()).status_code for caller in (here, there)]


def labels(accounts: list[SimulatedAccount]) -> list[str]:
    return sorted(account.label for account in accounts)


@pytest.mark.parametrize("name", STORES)
def test_processes_share_the_accounts_that_are_added_to_any(name: str, tmp_path: Path) -> None:
    async def tell() -> Told:
        with STORES[name](tmp_path) as store:
            return await asyncio.wait_for(story(store, tmp_path), STORY_TIMEOUT_S)

    try:
        told = asyncio.run(tell())
    except NotInstalled as missing:
        pytest.skip(str(missing))
    except BaseException:
        print(tails(tmp_path))
        raise
    print(tails(tmp_path))
    assert told == {
        "without an account": [503, 503],
        "first account": 201,
        "chat of the other": 200,
        "added at once": [201] * 6,
        "seen by both": [True, True],
        "chats": [200, 200],
        "while one was killed": True,
        "added by the other": 201,
        "seen after the restart": True,
        "chat after the restart": 200,
        "left": [[], []],
        "chats without any": [503, 503],
        "violations": [],
        "secrets in logs": [],
    }
