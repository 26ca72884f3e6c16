"""Look at a gateway from outside: is it there, is all well, do its answers stream, and what mends it.

scripts/doctor URL [KEY]    KEY is one of API_KEYS. Better set the variable API_KEY: no list of processes
                            shows it. Without a key, the public part is checked.
    --fresh                 ask the upstream also about accounts that were checked just before
    --chat                  ask for a short answer, and see if it streams: it costs one

The exit status is 0 if all is well, and 1 if something is wrong. It needs nothing but Python 3.9 or later; on
Windows: py scripts/support/doctor.py URL
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 60.0
CHAT = {
    "model": "",
    "stream": True,
    "messages": [{"role": "user", "content": "Count from 1 to 30, in words."}],
}


MEANT = ("ALLOW_PASSTHROUGH is on", "CHATGLM_REFRESH_TOKENS is not set: add an account")
"""These notes may describe what the owner wants."""
EXPIRES_SOON_DAYS = 14
CLOCK_TOLERANCE_S = 60
CURES: dict[str | int, str] = {
    "guest": "log in at chatglm.cn first, then copy the cookie chatglm_refresh_token, and restart",
    "blocked": "log in at chatglm.cn in a browser and see what it says",
    "refused": "log in at chatglm.cn in a private window, put the new token into the settings, restart",
    "unusable": "copy the cookie chatglm_refresh_token, not the access token beside it",
    "key": "see the key at open.bigmodel.cn or z.ai, and correct GLM_API_KEYS",
    "unknown": "see if the gateway's machine reaches https://chatglm.cn, then run this again with --fresh",
    "not_checked": "run this again: there was no time left",
    "store": "correct STORE_URL, or start the store again",
    "clock": "see if the gateway's machine reaches https://chatglm.cn (proxy, firewall, DNS)",
    "offset": "set the clock of the gateway's machine (NTP)",
    "streaming": "turn off buffering in the proxy before the gateway; on AWS Lambda, add --chat",
    "connection": "check the address and the port, and if the gateway runs",
    "no gateway": "check the address: another program answers there",
    401: "give one of API_KEYS: scripts/doctor URL KEY, or the variable API_KEY",
    404: "check the address: give the base URL of the gateway",
    500: "see the gateway's log",
}
"""The next step for each finding."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send the key to wherever it is sent itself."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Deployment:
    """One gateway, and what was wrong with it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.key = key
        self.problems = 0

    def say(self, is_well: bool, about: str, words: str, cure: str = "") -> None:
        self.problems += not is_well
        print(f"{'ok' if is_well else 'WRONG':5} {about}: {words}")
        if cure and not is_well:
            print(f"      to mend it: {cure}")

    def open(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(self.url + path, data, headers)
        return urllib.request.build_opener(NoRedirects).open(request, timeout=TIMEOUT_S)

    def get(self, path: str) -> bytes:
        with self.open(path) as response:
            content: bytes = response.read()
            return content


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="where the gateway is, with or without /v1")
    parser.add_argument("key", nargs="?", default=os.environ.get("API_KEY", ""))
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--chat", action="store_true")
    options = parser.parse_args()
    if not options.url.startswith(("http://", "https://")):
        parser.error("the address must begin with http:// or https://")
    deployment = Deployment(options.url, options.key)
    checks: list[Callable[[Deployment], None]] = [check_ping, check_health]
    if options.key:
        checks += [lambda d: check_deep(d, fresh=options.fresh), check_stream]
        checks += [check_chat] if options.chat else []
    for check in checks:
        try:
            check(deployment)
        except urllib.error.HTTPError as error:
            deployment.say(False, error.url, f"HTTP {error.code}: {_words(error)}", _cure_of(error))
            if error.code in (401, 404):  # The other checks need the same key and the same base URL.
                break
        except (OSError, ValueError, http.client.HTTPException) as error:
            deployment.say(False, "the connection", _reason(error), CURES["connection"])
            break
        except (KeyError, TypeError, AttributeError) as error:
            words = f"it is no gateway's ({type(error).__name__}: {error})"
            deployment.say(False, "the answer", words, CURES["no gateway"])
            break
    if not options.key:
        print("(no key: accounts, store, clock and streaming were not checked)")
    return 1 if deployment.problems else 0


def check_ping(deployment: Deployment) -> None:
    answer = deployment.get("/ping")
    shown = answer[:60].decode(errors="replace")
    deployment.say(answer == b"pong", "/ping", shown, CURES["no gateway"])


def check_health(deployment: Deployment) -> None:
    health = json.loads(deployment.get("/health"))
    deployment.say(True, "/health", f"version {health['version']}, store {health['store']}")
    if not deployment.key:
        tell_notes(deployment, health["status"], health["notes"])


def tell_notes(deployment: Deployment, status: str, notes: list[str]) -> None:
    """Each note says by itself what to do. Some may be meant so."""
    for note in notes:
        if status == "ok" or note.startswith(MEANT):
            print(f"note  settings: {note}")
        else:
            deployment.say(False, "settings", note)


def check_deep(deployment: Deployment, *, fresh: bool) -> None:
    health = json.loads(deployment.get("/health?deep=1" + ("&fresh=1" if fresh else "")))
    for account in health["accounts"]:
        check_account(deployment, account)
    for key in health.get("official_keys", []):
        words = ", ".join(filter(None, (key["state"], key["problem"])))
        deployment.say(key["state"] == "alive", f"official key {key['label']}", words, CURES["key"])
    store, clock = health["store"], health["clock"]
    took = f"works, {store['round_trip_ms']} ms for a write, a read and a removal"
    words = took if store["works"] else store["problem"]
    deployment.say(store["works"], f"store {store['scheme']}", words, CURES["store"])
    check_clock(deployment, clock["offset_s"], clock["problem"])
    print(f"      {', '.join(f'{name} {version}' for name, version in health['versions'].items())}")
    # The lines above tell of these already.
    told = ["The store ("] + [
        f"Entry {account['token']} of CHATGLM_REFRESH_TOKENS "
        for account in health["accounts"]
        if account["state"] != "alive"
    ]
    notes = [note for note in health["settings"]["notes"] if not note.startswith(tuple(told))]
    tell_notes(deployment, health["settings"]["status"], notes)


def check_account(deployment: Deployment, account: dict[str, Any]) -> None:
    words = [account["state"]]
    if account["use"] is not None:
        until = f" until {account['until']} ({account['reason']})" if account["until"] else ""
        words.append(account["use"] + until)
    if account["refresh_token_expires"] is not None:
        words.append(f"its refresh token ends {account['refresh_token_expires']}")
    if account["days_left"] is not None and account["days_left"] < EXPIRES_SOON_DAYS:
        words.append("any use renews it")
    name = f"account {account['label'] or account['token']}"
    cure = CURES.get(account["state"], "")
    deployment.say(account["state"] == "alive", name, ", ".join(words), cure)


def check_clock(deployment: Deployment, offset_s: float | None, problem: str | None) -> None:
    if offset_s is None:
        deployment.say(False, "clock", str(problem), CURES["clock"])
    else:
        is_well = abs(offset_s) <= CLOCK_TOLERANCE_S
        deployment.say(is_well, "clock", f"the upstream's is {offset_s:+} s off ours", CURES["offset"])


def check_stream(deployment: Deployment) -> None:
    with deployment.open("/health?stream=1") as response:
        arrivals, _ = _arrivals(response)
    span_s, sent_s = arrivals[-1] - arrivals[0], 0.2 * (len(arrivals) - 1)
    words = f"{len(arrivals)} events, sent within {sent_s:.1f} s, arrived within {span_s:.1f} s"
    streams = span_s > sent_s / 2
    words += "" if streams else ": something on the way buffers answers"
    deployment.say(streams, "streaming", words, CURES["streaming"])


def check_chat(deployment: Deployment) -> None:
    began_at = time.monotonic()
    with deployment.open("/v1/chat/completions", CHAT) as response:
        arrivals, reads = _arrivals(response)
    span_s, first_s = arrivals[-1] - arrivals[0], arrivals[0] - began_at
    words = f"{len(arrivals)} chunks, the first after {first_s:.1f} s, the others within {span_s:.1f} s of it"
    # A model writes for a second or more; the demo writes at once, but still piece by piece.
    streams = span_s > 0.3 or reads > max(1, len(arrivals) // 10)
    words += "" if streams else ": it does not stream"
    deployment.say(streams, "chat", words, CURES["streaming"])


def _arrivals(response: Any) -> tuple[list[float], int]:
    """Return when each event arrived, and in how many pieces."""
    arrivals: list[float] = []
    waiting, reads = b"", 0
    while data := response.read1(65536):
        *events, waiting = (waiting + data).split(b"\n\n")
        arrivals += [time.monotonic() for event in events if event.startswith(b"data:")]
        reads += 1
    if not arrivals:
        raise ValueError("not one event came")
    return arrivals, reads


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or repr(error)


def _cure_of(error: urllib.error.HTTPError) -> str:
    if error.headers.get("Location"):
        return "give the address that it redirects to"
    return CURES.get(error.code, CURES[500] if error.code >= 500 else "")


def _words(error: urllib.error.HTTPError) -> str:
    if error.headers.get("Location"):
        return f"it redirects to {error.headers['Location']}, where the key was not sent"
    try:
        body = error.read()
    except (OSError, http.client.HTTPException):
        return "and its words were cut off"
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:100].decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
