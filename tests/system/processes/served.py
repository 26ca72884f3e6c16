"""A gateway like that of scripts/serve, on its parent's socket: `python -m tests.system.processes.served 3`.

It ends in good order when its stdin is closed: so it ends with its parent, too.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from hosts.box.arguments import GRACE_S
from hosts.box.ending import EndsInTime
from hosts.box.listening import allow_open_files
from hosts.box.mounting import API_FOLDER
from hosts.box.server import Server, config_of


def main(number: int) -> None:
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())  # uvicorn repeats it after the end
    allow_open_files()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    # The protocol named again, for TCP_NODELAY: not every system tells it of a socket.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=number) as listener:
        Server(config_of(EndsInTime(API_FOLDER, GRACE_S)), "serving").run(sockets=[listener])


def _end_with_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]))
