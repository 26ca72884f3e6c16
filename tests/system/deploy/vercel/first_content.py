"""From the start of a process under Vercel's runtime to a chat's first content: reported, not asserted.

    scripts/test-deploy vercel -k first_content -s

Beside it the floor of the bench's cold starts (starlette, httpx and nothing of ours), in the same bundle, and
under the same runtime. Both ask the simulator. The account's token is in the store of the first, as in every
process but the first ever.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from lib.upstreams.chatglm.wire import protocol
from tests.bench import wire
from tests.bench.stand import API_KEY, Ask, open_stand
from tests.system.deploy.vercel.build import Output
from tests.system.deploy.vercel.init_time import compile_all, unpack
from tests.system.deploy.vercel.instance import Instance

CHAT = "api/v1/chat/completions"
BENCH_FLOOR = Path(__file__).parents[3] / "bench" / "floor.py"
# As in tests/bench/cold_floor.py.
FLOOR_APP = """
from starlette.applications import Starlette
from starlette.routing import Mount

app = Starlette(routes=[Mount("/", Floor())])
"""
ANSWER_TIMEOUT_S = 20.0


def report(output: Output, python: Path, folder: Path, *, rounds: int = 10) -> str:
    chat = unpack(output, CHAT, folder)
    floor = unpack(output, "api/health", folder, BENCH_FLOOR.read_text(encoding="utf-8") + FLOOR_APP)
    for place in (chat, floor):
        compile_all(python, place)
    ask, taken = Ask(chars=60), []
    with open_stand() as stand:
        url = stand.chat_url.removesuffix(protocol.CHAT_STREAM)
        (account,) = stand.log_in(1)
        fresh = wire.call(f"{url.removesuffix('/chatglm')}/__simulator__/accounts", {})["refresh_token"]
        environ = {
            "CHATGLM_BASE_URL": url,
            "CHATGLM_REFRESH_TOKENS": str(fresh),
            "API_KEYS": API_KEY,
            "STORE_URL": f"sqlite:///{folder}/state.db",
            "no_proxy": "127.0.0.1",
        }
        programs = {
            "floor": (floor, output.bundles["api/health"].config),
            "chat": (chat, output.bundles[CHAT].config),
        }
        for _ in range(rounds + 1):
            times = {}
            for name, (place, config) in programs.items():
                began_at = time.perf_counter()
                with Instance(python, place, config, **environ) as instance:
                    stand.floor.url = stand.gateway.url = instance.url
                    prepared = stand.ask_gateway(ask) if name == "chat" else stand.ask_floor(ask, account)
                    asked_at = time.perf_counter()
                    times[name] = asked_at - began_at + _first_content_s(instance.url, prepared)
            taken.append(times)
        stand.check_simulator()
    del taken[0]  # The first one fetches the account's token.
    ratio = median(times["chat"] / times["floor"] for times in taken)
    told = {name: median(times[name] for times in taken) * 1000 for name in programs}
    return (
        f"start to first content, ms, medians of {rounds}: {CHAT} {told['chat']:.0f}, "
        f"the floor {told['floor']:.0f}, {ratio:.2f}x"
    )


def _first_content_s(url: str, prepared: bytes) -> float:
    """Ask, and return how long the first content took. The whole answer must be right."""
    port = urlsplit(url).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S) as connection:
        connection.sendall(prepared)
        answer = wire.Answer()
        while not answer.feed(connection.recv(wire.READ_BYTES)):
            pass
    wire.told_by_gateway(answer.body())
    return answer.first_content_s
