"""Making a chat into the one turn that chatglm.cn takes: a prompt, a target, files, a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lib.chat.request import ChatRequest
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.conversations import addressed, labelled
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.prompt import attachments, merge, new_messages
from lib.upstreams.chatglm.turn import Ask
from lib.upstreams.chatglm.wire.models import Target, names_unknown_model, resolve

if TYPE_CHECKING:
    from lib.upstreams.chatglm.wire.drawing import Drawing


class Asking:
    """One chat of one caller, as the caller's accounts are asked it."""

    def __init__(
        self, gateway: Gateway, chat: ChatRequest, accounts: tuple[Account, ...], drawing: Drawing | None
    ) -> None:
        self.keeps_conversation = chat.keeps_conversation
        self.conversation_id = chat.conversation_id or ""
        """As the caller wrote it."""
        self._gateway = gateway
        self._chat = chat
        self._accounts = accounts
        self._drawing = drawing
        self._conversation_id, self.candidates = addressed(chat.conversation_id or "", accounts)

    def id_of(self, conversation_id: str, account_label: str) -> str:
        """Return the answer's id: it names the conversation, and the account if the caller has several."""
        return labelled(conversation_id, account_label, self._accounts)

    def ask(self) -> Ask:
        """Make the turn. Its files are not fetched yet, and the caller closes them."""
        target = self._target()
        messages = new_messages(self._chat.messages) if self._conversation_id else self._chat.messages
        ask = Ask(
            prompt=merge(messages, self._chat.closing),
            target=target,
            conversation_id=self._conversation_id,
            expects_calls=self._chat.expects_calls,
        )
        parts = attachments(messages)
        if not parts:
            return ask
        # Imported here: a cold start without files saves 10 ms.
        from lib.upstreams.chatglm.files import RequestFiles

        return msgspec.structs.replace(ask, files=RequestFiles(self._gateway, parts, target.agent_id))

    async def aimed(self, ask: Ask) -> Ask:
        """Aim it anew: the account's lease has brought the store's list of models along.

        The upstream is asked for a list only if there has never been one.
        """
        if self._names_unknown_model and not self._gateway.models.is_listed(self._accounts):
            await self._gateway.models.offered(self._accounts)
        return msgspec.structs.replace(ask, target=self._target())

    async def look_ahead(self) -> None:
        """After the last word: if the model is not in the list, look whether there is a newer list."""
        if self._names_unknown_model:
            await self._gateway.models.offered(self._accounts)

    @property
    def _names_unknown_model(self) -> bool:
        return names_unknown_model(self._chat.model, self._gateway.models.known(self._accounts))

    def _target(self) -> Target:
        models, settings = self._gateway.models, self._gateway.settings
        known = models.known(self._accounts)
        target = resolve(
            self._chat,
            known=known,
            default_model=settings.default_model,
            # With a search of its own the model mixes its tools up with the client's (field.md §1.2).
            default_web_search=settings.web_search and not self._chat.expects_calls,
        )
        return target if self._drawing is None else msgspec.structs.replace(target, drawing=self._drawing)
