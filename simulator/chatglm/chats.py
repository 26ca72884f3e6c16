"""The chat stream: admit one generation at a time, choose its scene, keep its turn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from starlette.routing import Route
from starlette.types import ASGIApp

from simulator.agent.prompt import where_tags_count
from simulator.records import Call, Conversation, Turn
from simulator.scenes import SCENES, read_tag
from simulator.steps import Cue, Reply, Step

from .accounts import Account
from .answer import Answer
from .catalogue import DRAWING_AGENT
from .gate import BASE, STREAM, Gate
from .orders import ChatOrder, read_order
from .registry import Endpoint
from .state import State
from .uploads import odd_references

STOP_GRACE_S = 0.05
"""A stopped answer may need a moment to close its socket; a call within this time is no overlap."""
BUSY = {"status": 10061, "message": "请等待其他对话生成完毕"}
BLOCKED = {"status": 40304, "message": "user is blocked(40304)", "result": None}
"""Our own invention: the real answer to a blocked account's chat is not known."""


class ChatGate(Gate):
    """backend-api/assistant/stream. Its answers run on after `handle` has returned."""

    def __init__(self, state: State) -> None:
        super().__init__(state, Endpoint("POST", STREAM, lambda *_: None, "access"))
        self._answers: dict[str, Answer] = {}
        """The answers that run, by their history_id."""

    @classmethod
    def route(cls, state: State) -> Route:
        return Route(BASE + STREAM, cls(state))

    async def handle(self, call: Call, account: Account) -> Reply | ASGIApp:
        for generation in list(account.generations):
            if generation.stopped and (answer := self._answers.get(generation.cue.history_id)):
                await answer.wait_for_end(STOP_GRACE_S)
        with self.state.lock:
            order, oddities = read_order(call, self.state.agents)
            for oddity in oddities:
                self.note(oddity)
            if isinstance(order, Reply):
                return order
            for oddity in odd_references(self.state, order.files, account):
                self.note(oddity)
            return self._open(order, account)

    def _open(self, order: ChatOrder, account: Account) -> Reply | Answer:
        if account.blocked:
            return Reply(403, BLOCKED)
        if account.generations:
            account.max_overlap = max(account.max_overlap, len(account.generations) + 1)
            self.note(f"overlap on account {account.uid}")
            return Reply(429, BUSY)
        conversation = self._find_conversation(order, account)
        if conversation is None:
            return Reply(200, b"", "text/event-stream")
        cue = self._make_cue(order, conversation)
        steps = self._choose_steps(order, account, cue)
        first = next(steps, None)
        if isinstance(first, Reply):
            return first
        answer = Answer(
            cue=cue,
            steps=steps if first is None else chain([first], steps),
            account=account,
            conversation=conversation,
            pace_s=lambda: self.state.pace_s,
            linger_s=self.state.linger_s,
            close_delay_s=cue.number("tail", self.state.close_delay_s),
            on_first_event=self._announce,
            on_end=self._conclude,
        )
        self._begin(answer)
        return answer

    def _find_conversation(self, order: ChatOrder, account: Account) -> Conversation | None:
        if not order.conversation_id:
            cue = Cue(prompt="")
            return Conversation(cue.conversation_id, account.uid, order.assistant_id, self.state.now())
        known = self.state.conversations.get(order.conversation_id)
        if known is None or known.deleted or known.uid != account.uid:
            return None
        return known

    def _make_cue(self, order: ChatOrder, conversation: Conversation) -> Cue:
        files = (self.state.files.get(str(file.get("file_id"))) for file in order.files)
        return Cue(
            prompt=order.prompt,
            conversation_id=conversation.id,
            assistant_id=order.assistant_id,
            chat_mode=order.chat_mode,
            model=order.model,
            web_search=order.web_search,
            turns=tuple(conversation.turns),
            image_base=f"{self.state.file_base}/testpath",
            replay_dir=self.state.replay_dir,
            files=[file for file in files if file is not None],
        )

    def _choose_steps(self, order: ChatOrder, account: Account, cue: Cue) -> Iterator[Step]:
        chosen = self.state.take_scene(account.uid)
        if chosen is not None and not isinstance(chosen, str):
            cue.scene = "ad hoc"
            return chosen(cue) if callable(chosen) else iter(chosen)
        tag = read_tag(where_tags_count(order.prompt) if chosen is None else f"[scene:{chosen}]")
        tag = tag or _scene_that_goes_on(cue)
        name, args = tag or ("images" if order.assistant_id == DRAWING_AGENT else "default", {})
        if name not in SCENES:
            self.note(f"unknown scene {name!r}")
            name = "default"
        cue.scene, cue.args = name, args
        return SCENES[name].play(cue)

    def _begin(self, answer: Answer) -> None:
        account = answer.account
        self._answers[answer.generation.cue.history_id] = answer
        account.generations.append(answer.generation)
        account.chats += 1
        account.max_overlap = max(account.max_overlap, len(account.generations))

    def _announce(self, answer: Answer) -> None:
        generation = answer.generation
        with self.state.lock:
            self.state.keep(generation.conversation, history_id=generation.cue.history_id)

    def _conclude(self, answer: Answer) -> None:
        generation = answer.generation
        cue, conversation = generation.cue, generation.conversation
        with self.state.lock:
            del self._answers[cue.history_id]
            answer.account.generations.remove(generation)
            conversation.updated_at = self.state.now()
            turn = Turn(
                prompt=cue.prompt,
                answer=cue.answer,
                reasoning=cue.reasoning,
                scene=cue.scene,
                history_id=cue.history_id,
                args=cue.args,
                erred=cue.erred,
            )
            conversation.turns.append(turn)


def _scene_that_goes_on(cue: Cue) -> tuple[str, dict[str, str]] | None:
    """Return the last turn's scene if it is for a whole conversation, not for one answer."""
    last = cue.turns[-1] if cue.turns else None
    entry = SCENES.get(last.scene) if last else None
    return (entry.name, dict(last.args)) if last and entry and entry.sticky else None
