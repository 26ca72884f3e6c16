// The tab Chat: one conversation, streamed.

import { ApiError, ask, askJson, eventsOf, wordsError } from "./api.js";
import { Attachments, fileView } from "./attachments.js";
import { announce, button, clearError, codeBlock, copyButton, el, say, showError } from "./dom.js";
import { link, safeAddress, showMarkdown } from "./markdown.js";
import { asCurl, asPython, chatBody } from "./request.js";

const NEAR_END_PX = 80;
const ACCOUNT = "chatglm";
/** The owner of the account's models in `/v1/models`. All others are the official API's. */

export class Chat {
  constructor(panel, openStatus) {
    this.turns = [];
    this.conversationId = undefined;
    this.searchesByDefault = false;
    this.stopping = null;
    this.round = 0;
    this.attachments = new Attachments((error) => showError(this.error, error));
    this.build(panel, openStatus);
  }

  build(panel, openStatus) {
    this.log = el("div", { role: "log", class: "log", tabindex: "0", tLabel: "conversation" });
    this.notice = el("div", { class: "notice", hidden: true }, el("span", { t: "no_account" }), " ", button("open_status", openStatus, { class: "small" }));
    this.error = el("div", { class: "error-place" });
    this.message = el("textarea", { id: "message", rows: "1", tPlaceholder: "message_hint", autocomplete: "off" });
    this.model = el("select", { id: "model" });
    this.thinking = el("input", { type: "checkbox", id: "thinking" });
    this.search = el("input", { type: "checkbox", id: "search" });
    this.keep = el("input", { type: "checkbox", id: "keep", "aria-describedby": "keep-help" });
    this.keepLabel = check(this.keep, "keep");
    this.sendButton = el("button", { type: "submit", class: "primary", t: "send" });
    this.stopButton = button("stop", () => this.stopping?.abort(), { class: "primary stop" });
    this.stopButton.hidden = true;
    this.newButton = button("new_chat", () => this.restart(), { class: "small" });
    this.form = el("form", { class: "composer", novalidate: true },
      this.error,
      this.attachments.list,
      el("label", { for: "message", class: "unseen", t: "message" }),
      this.message,
      el("div", { class: "composer-row" },
        el("div", { class: "switches" },
          button("attach", () => this.attachments.choose(), { class: "small" }),
          check(this.thinking, "thinking"),
          check(this.search, "web_search"),
        ),
        this.sendButton,
        this.stopButton,
      ),
      this.attachments.chooser,
    );
    panel.append(
      el("div", { class: "chat" },
        el("div", { class: "chat-head" },
          el("div", { class: "inline-field" }, el("label", { for: "model", t: "model" }), this.model),
          this.keepLabel,
          el("span", { id: "keep-help", class: "unseen", t: "keep_help" }),
          el("span", { class: "space" }),
          button("as_code", () => this.showCode(), { class: "small" }),
          this.newButton,
        ),
        this.notice,
        this.log,
        this.form,
      ),
    );
    this.listen();
    this.showEmpty();
  }

  listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.message.addEventListener("keydown", (event) => {
      // While an input method composes, Enter takes its word. Safari tells it by the code 229 alone.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.send();
    });
    this.message.addEventListener("input", () => this.grow());
    this.message.addEventListener("paste", (event) => this.takeFiles(event, event.clipboardData));
    this.form.addEventListener("dragover", (event) => event.preventDefault());
    this.form.addEventListener("drop", (event) => this.takeFiles(event, event.dataTransfer));
    this.keep.addEventListener("change", () => { this.conversationId = undefined; });
    this.model.addEventListener("change", () => this.showKeep());
  }

  takeFiles(event, transfer) {
    const files = [...(transfer?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.attachments.add(files);
  }

  /** Let the field grow with its text. The style object is allowed by the policy; a style attribute is not. */
  grow() {
    this.message.style.height = "auto";
    this.message.style.height = `${Math.min(this.message.scrollHeight, 220)}px`;
  }

  async connect() {
    const round = ++this.round;
    const { data } = await askJson("v1/models");
    // A later list is asked for, or was here first.
    if (round !== this.round) return;
    const chosen = this.model.value;
    const groups = [
      ["by_account", data.filter(({ owned_by: owner }) => owner === ACCOUNT)],
      ["by_official", data.filter(({ owned_by: owner }) => owner !== ACCOUNT)],
    ];
    this.model.replaceChildren(...groups.filter(([, models]) => models.length).map(([key, models]) =>
      el("optgroup", { tGroup: key }, ...models.map(({ id }) => el("option", { value: id }, id)))));
    if (data.some(({ id }) => id === chosen)) this.model.value = chosen;
    this.showKeep();
  }

  /** The official API keeps no conversations. */
  get canKeep() {
    return this.model.selectedOptions[0]?.parentElement.dataset.tGroup !== "by_official";
  }

  showKeep() {
    this.keepLabel.hidden = !this.canKeep;
  }

  /** Set the switches as the gateway's settings have them, and tell the owner if there is no account. */
  prepare(health, accounts) {
    if (!this.isPrepared) this.search.checked = health.web_search_by_default === true;
    this.isPrepared = true;
    this.searchesByDefault = health.web_search_by_default === true;
    const hasOther = Boolean(health.official_keys || health.glm_api_keys || health.official);
    this.notice.hidden = hasOther || accounts?.length !== 0;
  }

  options() {
    return {
      model: this.model.value,
      isThinking: this.thinking.checked,
      isSearching: this.search.checked,
      searchesByDefault: this.searchesByDefault,
      isKept: this.keep.checked && this.canKeep,
      conversationId: this.conversationId,
    };
  }

  restart() {
    this.stopping?.abort();
    this.turns = [];
    this.conversationId = undefined;
    clearError(this.error);
    this.showEmpty();
    this.message.focus();
  }

  /** After a disconnection, nothing is left for the next key of this tab. */
  forget() {
    this.round++;
    this.restart();
    this.message.value = "";
    this.message.style.height = "auto";
    this.attachments.forget();
  }

  showEmpty() {
    this.log.replaceChildren(el("div", { class: "empty" }, el("h2", { t: "empty_title" }), el("p", { t: "empty_text" })));
  }

  async send() {
    if (this.stopping) return;
    const text = this.message.value.trim();
    clearError(this.error);
    if (!text && !this.attachments.files.length) {
      showError(this.error, wordsError("message_first"));
      this.message.focus();
      return;
    }
    const turn = { role: "user", text, files: this.attachments.take() };
    this.message.value = "";
    this.grow();
    if (!this.turns.length) this.log.replaceChildren();
    this.log.append(userView(turn));
    this.turns.push(turn);
    this.message.focus();
    await this.answer();
  }

  /** Ask for the next answer. After a failure without any text, the same turn can be asked again. */
  async answer() {
    const view = new AnswerView(this.log);
    const stopping = new AbortController();
    this.stopping = stopping;
    this.setBusy(true);
    let failure = null;
    try {
      const response = await ask("v1/chat/completions", { method: "POST", body: chatBody(this.turns, this.options()), signal: stopping.signal });
      view.begin(response.headers);
      for await (const data of eventsOf(response)) {
        if (data === "[DONE]") continue;
        view.take(parsed(data));
      }
      view.close();
    } catch (error) {
      if (stopping.signal.aborted) view.stop();
      else failure = error;
    }
    view.end();
    // A new chat may have begun meanwhile: then this answer belongs to nothing.
    if (this.stopping !== stopping) return;
    this.stopping = null;
    if (this.log.contains(view.node)) this.settle(view, failure);
    this.setBusy(false);
    this.message.focus();
  }

  settle(view, failure) {
    if (view.text) this.turns.push({ role: "assistant", text: view.text });
    // A conversation at chatglm.cn does not know an answer of the official API: the next one begins anew there.
    if (view.upstream === "api") this.conversationId = undefined;
    else if (this.keep.checked && view.id) this.conversationId = view.id;
    if (failure) {
      if (!(failure instanceof ApiError)) failure = wordsError("cut");
      const onRetry = view.text ? undefined : () => this.retry(view);
      if (!view.text && !view.thought) view.node.remove();
      showError(this.error, failure, { onRetry });
    } else if (!view.text) {
      // Two turns of the user in a row would confuse the model.
      this.turns.push({ role: "assistant", text: "…" });
    }
    if (!failure) announce("served_by", { model: view.model });
  }

  retry(view) {
    view.node.remove();
    clearError(this.error);
    this.answer();
  }

  setBusy(isBusy) {
    this.log.setAttribute("aria-busy", String(isBusy));
    this.sendButton.hidden = isBusy;
    this.stopButton.hidden = !isBusy;
  }

  showCode() {
    const draft = { role: "user", text: this.message.value.trim() || "Hello!", files: this.attachments.files };
    // After an answer, the next message continues it; after a failure, the last one is asked again.
    const body = chatBody([...this.turns, draft], this.options());
    const dialog = el("dialog", { class: "dialog", "aria-labelledby": "code-title" },
      el("div", { class: "dialog-head" }, el("h2", { id: "code-title", t: "request_title" }), button("close", () => dialog.close(), { class: "small" })),
      el("p", { class: "help", t: "request_text" }),
      draft.files.length || this.turns.some(({ files }) => files?.length) ? el("p", { class: "help", t: "request_files" }) : null,
      codeBlock(asCurl(body), "copy_code", "curl"),
      codeBlock(asPython(body), "copy_code", "Python"),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}

const check = (box, key) => el("label", { class: "check" }, box, el("span", { t: key }));

function parsed(data) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    throw wordsError("cut");
  }
  if (event.error) throw new ApiError(event.error.message ?? "", { code: event.error.code });
  return event;
}

function userView({ text, files }) {
  const shown = files.length ? el("div", { class: "turn-files" }, ...files.map(fileView)) : null;
  return el("article", { class: "turn user" }, el("h2", { class: "unseen", t: "you" }), shown, text ? el("p", { class: "said" }, text) : null);
}

/** One answer while it comes: its reasoning, its text, its sources, its end. */
class AnswerView {
  constructor(log) {
    Object.assign(this, { log, text: "", thought: "", sources: new Map(), finish: "", id: "", model: "", isPlanned: false });
    this.waiting = el("p", { class: "waiting", t: "waiting" });
    this.thoughtText = el("div", { class: "thought" });
    this.thoughtName = el("summary", { t: "reasoning_now" });
    this.details = el("details", { hidden: true }, this.thoughtName, this.thoughtText);
    this.body = el("div", { class: "prose" });
    this.foot = el("div", { class: "foot" });
    this.node = el("article", { class: "turn assistant" }, el("h2", { class: "unseen", t: "assistant" }), this.details, this.body, this.waiting, this.foot);
    log.append(this.node);
    log.scrollTop = log.scrollHeight;
  }

  begin(headers) {
    this.model = headers.get("x-glm-model") ?? "";
    this.upstream = headers.get("x-glm-upstream");
    this.fallback = headers.get("x-glm-fallback");
  }

  take(event) {
    this.id ||= event.id ?? "";
    this.model ||= event.model ?? "";
    const choice = event.choices?.[0];
    if (!choice) return;
    const delta = choice.delta ?? {};
    if (typeof delta.content === "string") this.text += delta.content;
    if (typeof delta.reasoning_content === "string") this.thought += delta.reasoning_content;
    for (const { url_citation: source } of delta.annotations ?? []) {
      if (source?.url) this.sources.set(source.url, source.title || source.url);
    }
    if (choice.finish_reason) this.finish = choice.finish_reason;
    this.plan();
  }

  /** Draw at most once for each frame of the screen. */
  plan() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.draw();
    });
  }

  draw() {
    const isAtEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END_PX;
    showMarkdown(this.body, this.text);
    if (this.thought) {
      this.details.hidden = false;
      this.thoughtText.textContent = this.thought;
    }
    if (this.text) {
      this.waiting.hidden = true;
      if (this.thoughtName.dataset.t !== "reasoning") say(this.thoughtName, "reasoning");
    } else if (this.thought) this.waiting.hidden = true;
    if (isAtEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  /** Check the end. A stream without a reason for its end was cut. */
  close() {
    if (!this.finish) throw wordsError("cut");
    if (this.finish === "length") this.remark("ended_length");
    else if (this.finish === "content_filter") this.remark("ended_filter");
    else if (!this.text) this.remark("ended_empty");
    if (this.fallback) this.remark("fell_back");
  }

  stop() {
    this.remark("stopped");
  }

  remark(key) {
    this.foot.append(el("p", { class: "remark", t: key }));
  }

  end() {
    this.draw();
    this.waiting.remove();
    say(this.thoughtName, "reasoning");
    const sources = [...this.sources].filter(([url]) => safeAddress(url));
    if (sources.length) {
      this.foot.prepend(el("section", { class: "sources" }, el("h3", { t: "sources" }), el("ol", {}, ...sources.map(([url, title]) => el("li", {}, link([title], url, title))))));
    }
    if (this.text) {
      const served = this.model ? el("span", { class: "served" }, this.model) : null;
      this.foot.append(el("div", { class: "foot-row" }, copyButton("copy_answer", () => this.text), served));
    }
    if (this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 4 * NEAR_END_PX) this.log.scrollTop = this.log.scrollHeight;
  }
}
