from __future__ import annotations

import asyncio
import socket
import threading
import time

import httpx
import pytest

from lib.patience import patience


class Server:
    """Takes one request, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.may_answer, self.has_answered = (threading.Event() for _ in range(3))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(65536)
            self.asked.set()
            self.may_answer.wait(10)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nHello")
            self.has_answered.set()


async def test_what_came_while_the_process_was_held_up_is_read_although_the_time_is_over() -> None:
    def hold_up() -> None:
        server.may_answer.set()
        assert server.has_answered.wait(10)
        time.sleep(0.3)  # nothing of this loop runs: as under SIGSTOP

    with Server() as server:
        async with httpx.AsyncClient(trust_env=False) as http, patience(0.2):
            asking = asyncio.ensure_future(http.get(server.url))
            await asyncio.to_thread(server.asked.wait, 10)
            asyncio.get_running_loop().call_soon(hold_up)
            answer = await asking
    assert answer.text == "Hello"


async def test_what_does_not_come_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with patience(0.05):
            await asyncio.Event().wait()


async def test_an_answer_in_time_leaves_no_timer_behind() -> None:
    async with patience(0.01):
        pass
    await asyncio.sleep(0.05)
