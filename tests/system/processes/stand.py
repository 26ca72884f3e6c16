"""A simulator, accounts of it, and gateways of several processes over one store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.upstreams.chatglm.accounts.account import parse_account
from tests.support.client import KEY
from tests.system.processes.programs import SimulatorProgram, Worker

ACCOUNT_WAIT_S = 120


@dataclass(frozen=True)
class SimulatedAccount:
    token: str
    uid: str

    @property
    def label(self) -> str:
        return parse_account(self.token).label


class Stand:
    """All of them; each process ends with the block that opened the stand."""

    def __init__(
        self,
        simulator: SimulatorProgram,
        accounts: list[SimulatedAccount],
        store: Mapping[str, str],
        folder: Path,
    ) -> None:
        self.simulator = simulator
        self.accounts = accounts
        self.folder = folder
        self.workers: list[Worker] = []
        self._store = store
        self._logs: list[Path] = []

    def worker(self, name: str, tokens: list[str] | None = None, *, send_buffer: int | None = None) -> Worker:
        """Start a gateway; with other refresh tokens than all accounts' where they are given."""
        known = [account.token for account in self.accounts] if tokens is None else tokens
        settings = {
            "CHATGLM_BASE_URL": self.simulator.url,
            "CHATGLM_REFRESH_TOKENS": ",".join(known),
            "API_KEYS": KEY,
            "ACCOUNT_WAIT_S": str(ACCOUNT_WAIT_S),
        }
        worker = Worker(name, {**self._store, **settings}, self.folder, send_buffer=send_buffer)
        self._logs.append(worker.log)
        return worker

    async def overlaps(self) -> dict[str, int]:
        """By the account: the most generations that were ever asked for at once; 1 is right."""
        accounts = (await self.simulator.state())["accounts"]
        own = {account.uid: account.label for account in self.accounts}
        return {own[account["uid"]]: account["max_overlap"] for account in accounts if account["uid"] in own}

    def gateway_logs(self) -> list[Path]:
        """Of all gateways, those too that have ended."""
        return self._logs


@asynccontextmanager
async def open_stand(
    store: Mapping[str, str],
    folder: Path,
    *,
    accounts: int,
    workers: int,
    pace_s: float = 0.0,
    **environ: str,
) -> AsyncIterator[Stand]:
    async with AsyncExitStack() as stack:
        simulator = stack.enter_context(SimulatorProgram(folder, pace_s=pace_s))
        await simulator.serve()
        stack.push_async_callback(simulator.aclose)
        made = [SimulatedAccount(*await simulator.add_account()) for _ in range(accounts)]
        stand = Stand(simulator, made, store, folder)
        async with one_at_a_time():
            for number in range(workers):
                worker = stack.enter_context(stand.worker(f"worker-{number}"))
                await worker.first_line()
                stand.workers.append(worker)
        yield stand


@asynccontextmanager
async def one_at_a_time() -> AsyncIterator[None]:
    """Among all threads: a start costs a second of CPU, and twenty at once would starve the stores."""
    await asyncio.to_thread(_starting.acquire)
    try:
        yield
    finally:
        _starting.release()


_starting = threading.Lock()


def tails(folder: Path) -> str:
    """The ends of all logs, for whoever has to find out."""
    logs = sorted(folder.rglob("*.log"))
    return "\n".join(f"--- {log}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)
