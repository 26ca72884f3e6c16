"""The other side of the Lambda Web Adapter, done as its source does it (awslabs/aws-lambda-web-adapter).

Its binary cannot be had here. /opt/bootstrap executes the handler; the adapter polls the port every 10 ms,
sends each event on as HTTP over a connection that it keeps for 4 s, with the invocation's context in a
header, and ends the invocation with the answer's last byte. Lambda then freezes the process: so does this.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx

BOOTSTRAP = 'exec -- "${LAMBDA_TASK_ROOT}/${_HANDLER}"'
START_TIMEOUT_S = 10.0
"""Lambda's own for an environment's start."""
CLIENT_IDLE_S = 4.0


class Adapter:
    """`with Adapter(...) as function:` keeps one environment, frozen between its invocations."""

    def __init__(
        self, tools: Path, folder: Path, handler: str, environ: dict[str, str], *, timeout_s: float = 900
    ) -> None:
        self.timeout_s = timeout_s
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._environ = {
            "PATH": f"{tools}/runtime/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": handler,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "glm-gateway-test",
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
            **environ,
            "AWS_LWA_PORT": str(self._port),
        }
        self.start_s = 0.0
        """From the start of the process to the open port."""

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile(prefix="lwa-")
        began_at = time.perf_counter()
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", BOOTSTRAP],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        while not self._is_open():
            assert self.process.poll() is None, f"it ended before it listened:\n{self.logged}"
            assert time.perf_counter() - began_at < START_TIMEOUT_S, f"it does not listen:\n{self.logged}"
            time.sleep(0.01)
        self.start_s = time.perf_counter() - began_at
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{self._port}",
            trust_env=False,
            timeout=60,
            limits=httpx.Limits(keepalive_expiry=CLIENT_IDLE_S),
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()
        self.process.kill()
        self.process.wait(10)
        self._log.close()

    def _is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    @property
    def logged(self) -> str:
        # pread: the process writes at the file's own place
        return os.pread(self._log.fileno(), 1_000_000, 0).decode()

    @contextmanager
    def invoke(self, event: dict[str, Any]) -> Iterator[httpx.Response]:
        """Send a REST event on; the answer is read as it comes, and with its end the process is frozen."""
        self.process.send_signal(signal.SIGCONT)
        body: str | bytes = event["body"] or b""
        if event["isBase64Encoded"]:
            body = base64.b64decode(body)
        context = {
            "request_id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "deadline": int((time.time() + self.timeout_s) * 1000),
            "invoked_function_arn": "arn:aws:lambda:eu-central-1:123456789012:function:glm-gateway-test",
            "xray_trace_id": None,
            "client_context": None,
            "identity": None,
            "env_config": {
                "function_name": "glm-gateway-test",
                "memory": 1024,
                "version": "$LATEST",
                "log_stream": "x",
                "log_group": "y",
            },
        }
        headers = [
            (name, value)
            for name, values in event["multiValueHeaders"].items()
            for value in values
            if name.lower() not in {"x-amzn-lambda-context", "x-amzn-request-context"}
        ]
        headers += [
            ("x-amzn-request-context", json.dumps(event["requestContext"])),
            ("x-amzn-lambda-context", json.dumps(context)),
        ]
        query = urlencode(event["multiValueQueryStringParameters"] or {}, doseq=True)
        target = quote(event["path"], safe="/%:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
        with self._http.stream(event["httpMethod"], target, content=body, headers=headers) as answer:
            yield answer
            answer.read() if not answer.is_stream_consumed else None
        self.process.send_signal(signal.SIGSTOP)

    def answer(self, event: dict[str, Any]) -> httpx.Response:
        with self.invoke(event) as answer:
            answer.read()
        return answer
