"""The id of a conversation, as clients get it and send it."""

from __future__ import annotations

import re

from lib.errors import ConversationNotFound
from lib.upstreams.chatglm.accounts.account import Account

NEW_CONVERSATION = "none"
"""Clients of older bridges send this word for a new conversation."""

_LABELLED_ID = re.compile(r"(?P<id>.+)-(?P<label>[0-9a-f]{8})")


def labelled(conversation_id: str, account_label: str, accounts: tuple[Account, ...]) -> str:
    """Return the id that a client gets: it names the account if the caller has several."""
    return f"{conversation_id}-{account_label}" if len(accounts) > 1 else conversation_id


def label_in(conversation_id: str) -> str:
    """Return the label of the account that a conversation's id names; empty if it names none."""
    named = _LABELLED_ID.fullmatch(conversation_id)
    return "" if named is None else named["label"]


def addressed(conversation_id: str, accounts: tuple[Account, ...]) -> tuple[str, tuple[Account, ...]]:
    """Take the account out of a conversation's id. Without one, any account may know the conversation."""
    if conversation_id == NEW_CONVERSATION:
        conversation_id = ""
    named = _LABELLED_ID.fullmatch(conversation_id)
    if named is None:
        return conversation_id, accounts
    owners = tuple(account for account in accounts if account.label == named["label"])
    if not owners:
        raise ConversationNotFound(
            f"The conversation belongs to account {named['label']}, which is none of yours.",
            param="conversation_id",
        )
    return named["id"], owners
