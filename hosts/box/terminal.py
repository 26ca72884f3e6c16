"""The texts that the server prints at the terminal when it serves."""

from __future__ import annotations

from collections.abc import Sequence

from hosts.box.demo import DEMO_KEY
from lib.settings import Settings
from lib.store.settings import SqliteSettings
from lib.upstreams.condition import AddedAccounts
from lib.version import VERSION

NO_ADDED = AddedAccounts(0, is_locked=False)


def shown_host(host: str) -> str:
    """Name the host as a client on this machine would."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def greeting(url: str, settings: Settings, notes: Sequence[str] = (), added: AddedAccounts = NO_ADDED) -> str:
    said = (*notes, *settings.gaps(), *_about_accounts(settings, added), *settings.openness())
    gaps = [f"note: {one}" for one in said]
    return "\n".join(
        (
            f"glm-gateway serves {url}/v1",
            f"  page: {url}/",
            *_what_it_has(settings, added.count),
            *gaps,
            "Ctrl-C ends it.",
        )
    )


def _about_accounts(settings: Settings, added: AddedAccounts) -> list[str]:
    """Say how to begin if nothing is set, and how to add the first account."""
    if added.is_locked:
        locked = (
            "the store holds accounts that were added at run time, and no key of these settings opens them. "
            "Set STORE_SECRET, or one of API_KEYS, as it was when you added them; or add them again."
        )
        return [locked]
    return [] if added.count else [*_emptiness(settings), *settings.invitation()]


def _emptiness(settings: Settings) -> list[str]:
    """Say how to begin if nothing is set."""
    if settings.refresh_tokens or settings.official_keys or settings.api_keys:
        return []
    how_to_begin = (
        "no account and no key is set. For your own account, set CHATGLM_REFRESH_TOKENS and API_KEYS. To try "
        "the gateway without an account: --demo."
    )
    return [how_to_begin]


def _what_it_has(settings: Settings, added: int) -> list[str]:
    store = settings.store
    passthrough = "on" if settings.allow_passthrough else "off"
    return [
        f"  version {VERSION}, default model {settings.first_default_model}",
        f"  accounts: {len(settings.refresh_tokens) + added}"
        + (f" ({added} added at run time)" if added else "")
        + f", API keys: {len(settings.api_keys)}"
        + (f", keys of the official API: {official}" if (official := len(settings.official_keys)) else ""),
        f"  pass-through: {passthrough}",
        f"  store: {settings.store.scheme}"
        + (f", {store.path}" if isinstance(store, SqliteSettings) else ""),
    ]


def demo_greeting(url: str) -> str:
    return f"""\
glm-gateway {VERSION}, demo: an imitation of the upstream answers; nothing leaves this machine.

    base URL  {url}/v1
    API key   {DEMO_KEY}
    page      {url}/

Ask it, streamed:

    curl -N {url}/v1/chat/completions \\
      -H 'Authorization: Bearer {DEMO_KEY}' -H 'Content-Type: application/json' \\
      -d '{{"model": "glm-5.3", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'

or with the official SDK (pip install openai):

    from openai import OpenAI
    client = OpenAI(base_url="{url}/v1", api_key="{DEMO_KEY}")
    messages = [{{"role": "user", "content": "Hello!"}}]
    print(client.chat.completions.create(model="glm-5.3", messages=messages).choices[0].message.content)

Ctrl-C ends it."""
