"""The demo: the simulator in a thread, and an environment that points to it."""

from __future__ import annotations

import tempfile
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

DEMO_KEY = "sk-demo"
DEMO_PACE_S = 0.02
"""The time between two words of an answer. The real model writes about as fast."""


def start_demo(environ: MutableMapping[str, str], stack: ExitStack) -> None:
    """Start the simulator and point the environment at it. The stack ends the simulator."""
    from simulator.server import SimulatorServer

    simulator = stack.enter_context(SimulatorServer(pace_s=DEMO_PACE_S))
    # A file, so that accounts can be added as in earnest, and processes share it. It is thrown away.
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="glm-gateway-demo-"))
    token = simulator.simulator.add_account()
    use_simulator(environ, simulator.base_url, token, f"sqlite:///{folder}/state.db")
    # The simulator serves its own images, so the demo sends nothing to other machines.
    simulator.simulator.file_base = simulator.base_url.removesuffix("/chatglm")
    environ["FETCH_ALLOW_HOSTS"] = urlsplit(simulator.base_url).netloc
    if captures := environ.get("CAPTURE_DIR"):  # [scene:replay file=…] finds its records there.
        simulator.simulator.replay_dir = Path(captures)


def use_simulator(
    environ: MutableMapping[str, str], base_url: str, refresh_token: str, store_url: str
) -> None:
    """Point the gateway at the simulator, and remove the owner's own account from the environment."""
    environ.pop("STORE_SECRET", None)
    environ["STORE_URL"] = store_url
    for name in [name for name in environ if name.startswith("CHATGLM_")]:
        del environ[name]
    environ["CHATGLM_BASE_URL"] = base_url
    environ["CHATGLM_REFRESH_TOKENS"] = refresh_token
    environ["API_KEYS"] = DEMO_KEY
    # Requests to 127.0.0.1 must not go through the machine's proxy.
    proxied = environ.get("no_proxy") or environ.get("NO_PROXY")
    environ["no_proxy"] = ",".join(filter(None, (proxied, "127.0.0.1", "localhost")))
