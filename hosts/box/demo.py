"""The demo: the simulator in a thread, and an environment that knows nothing but it."""

from __future__ import annotations

import tempfile
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

DEMO_KEY = "sk-demo"
DEMO_PACE_S = 0.02
"""Time between two words of the demo's answers: about as fast as the real model writes."""


def start_demo(environ: MutableMapping[str, str], workers: int, stack: ExitStack) -> None:
    """Start the simulator, which ends with the stack, and point the environment at it."""
    from simulator.server import SimulatorServer

    simulator = stack.enter_context(SimulatorServer(pace_s=DEMO_PACE_S))
    use_simulator(environ, simulator.base_url, simulator.simulator.add_account())
    # Its pictures are its own too: nothing leaves this machine, not even to fetch one.
    simulator.simulator.file_base = simulator.base_url.removesuffix("/chatglm")
    environ["FETCH_ALLOW_HOSTS"] = urlsplit(simulator.base_url).netloc
    if captures := environ.get("CAPTURE_DIR"):  # [scene:replay file=…] finds what is recorded there
        simulator.simulator.replay_dir = Path(captures)
    if workers > 1:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="glm-gateway-demo-"))
        environ["STORE_URL"] = f"sqlite:///{folder}/state.db"


def use_simulator(environ: MutableMapping[str, str], base_url: str, refresh_token: str) -> None:
    """Point the gateway at the imitation, and leave nothing of the owner's own account in its reach."""
    for name in [name for name in environ if name.startswith("CHATGLM_")]:
        del environ[name]
    environ["CHATGLM_BASE_URL"] = base_url
    environ["CHATGLM_REFRESH_TOKENS"] = refresh_token
    environ["API_KEYS"] = DEMO_KEY
    environ["STORE_URL"] = "memory://"
    # A proxy that the machine needs for the world must not be asked for 127.0.0.1.
    proxied = environ.get("no_proxy") or environ.get("NO_PROXY")
    environ["no_proxy"] = ",".join(filter(None, (proxied, "127.0.0.1", "localhost")))
