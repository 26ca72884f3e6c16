// The tab Status: accounts, the store, the clock, streams, versions.

import { ApiError, ask, askJson, currentKey, eventsOf, wordsError } from "./api.js";
import { announce, button, clearError, el, gatewayAddress, say, showError, t } from "./dom.js";
import { findToken, guide, shownDate } from "./token.js";
import { has, locale } from "./words.js";

const SPREAD_MS = 300;
/** Five events are sent within 800 ms. If they arrive within less than this, something held them back. */
const LASTING_STORES = ["sqlite", "redis", "rediss", "upstash", "dynamodb"];

const DOCUMENTS = {
  doc_start: "#readme",
  doc_clients: "/blob/HEAD/docs/clients.md",
  doc_settings: "/blob/HEAD/docs/configuration.md",
  doc_errors: "/blob/HEAD/docs/errors.md",
  doc_token: "/blob/HEAD/docs/refresh-token.md",
};

export class Status {
  constructor(panel, onChange) {
    this.onChange = onChange;
    this.rounds = { check: 0, list: 0 };
    this.isAdding = false;
    this.start();
    this.error = el("div", { class: "error-place" });
    this.accounts = el("div", { class: "accounts" });
    this.facts = el("dl", { class: "facts" });
    this.notes = el("div", { class: "notes" });
    this.streams = el("p", { class: "streams" });
    this.refreshButton = button("refresh", () => this.load({ isFresh: true }), { class: "small" });
    panel.append(el("div", { class: "page" },
      this.error,
      el("section", { class: "card" },
        el("div", { class: "card-head" }, el("h2", { t: "accounts" }), this.refreshButton),
        el("p", { class: "help", t: "accounts_text" }),
        this.accounts,
        this.addForm(),
      ),
      el("section", { class: "card" }, el("h2", { t: "health" }), this.notes, this.streams, this.facts),
      el("section", { class: "card" },
        el("h2", { t: "docs" }),
        el("p", { class: "help", t: "docs_text" }),
        el("p", { class: "links" }, page("openapi.json"), page("health"), ...documents()),
      ),
    ));
  }

  /** Know nothing: neither the deep check's answer nor the list of accounts. */
  start() {
    Object.assign(this, { deep: {}, listed: null, isRefused: false, shown: "" });
  }

  /** After a disconnection, nothing is left for the next key of this tab. Answers that come later show nothing. */
  forget() {
    this.rounds.check++;
    this.rounds.list++;
    this.start();
    this.allowAdding();
    this.token.value = "";
    for (const place of [this.error, this.accounts, this.notes, this.facts, this.addError]) place.replaceChildren();
    for (const line of [this.streams, this.addDone]) say(line, "");
  }

  addForm() {
    this.token = el("input", { id: "refresh-token", type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", tPlaceholder: "refresh_token_hint", "aria-describedby": "refresh-token-help" });
    this.addButton = el("button", { type: "submit", class: "primary", t: "add" });
    this.tokenHelp = el("p", { class: "help", id: "refresh-token-help", t: "refresh_token_help" });
    this.addError = el("div", { class: "error-place" });
    this.addDone = el("p", { class: "done-note", role: "status" });
    this.form = el("form", { class: "add stack", novalidate: true },
      el("div", { class: "field" },
        el("label", { for: "refresh-token", t: "refresh_token" }),
        el("div", { class: "add-row" }, this.token, this.addButton),
        this.tokenHelp,
      ),
      this.addDone,
      this.addError,
      guide(),
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
    // A one-line field would join the lines of a pasted table of cookies: keep them apart.
    this.token.addEventListener("paste", (event) => {
      const text = event.clipboardData?.getData("text") ?? "";
      if (!/[\n\t]/.test(text)) return;
      event.preventDefault();
      this.token.value = text.replaceAll(/[\n\r]+/g, "; ").replaceAll("\t", "=");
      this.token.dispatchEvent(new Event("input"));
    });
    this.token.addEventListener("input", () => this.judge());
    return this.form;
  }

  /** Say at once if the pasted text holds a token. Nothing is sent before Add. */
  judge() {
    clearError(this.addError);
    say(this.addDone, "");
    const text = this.token.value.trim();
    if (text.length < 40) return;
    try {
      if (findToken(text) !== text) say(this.addDone, "token_found");
    } catch (error) {
      showError(this.addError, error);
    }
  }

  async load({ isFresh = false } = {}) {
    clearError(this.error);
    this.refreshButton.disabled = true;
    say(this.streams, "streams_checking");
    if (!this.accounts.children.length) {
      this.accounts.replaceChildren(el("p", { class: "help", t: "checking" }));
      this.shown = "";
    }
    const round = ++this.rounds.check;
    const [deep] = await Promise.allSettled([askJson(isFresh ? "health?deep=1&fresh=1" : "health?deep=1"), this.list()]);
    if (round !== this.rounds.check) return;
    this.refreshButton.disabled = false;
    if (deep.status === "rejected") {
      say(this.streams, "");
      showError(this.error, deep.reason.status === 401 ? wordsError("owner_only") : asShown(deep.reason));
      return;
    }
    this.deep = deep.value;
    this.showAccounts();
    this.showFacts(deep.value);
    await this.measure(deep.value, () => round === this.rounds.check);
  }

  /** Show the accounts as soon as they come. The deep check may take a minute, or fail. */
  async list() {
    const round = ++this.rounds.list;
    const [{ value, reason }] = await Promise.allSettled([askJson("tokens")]);
    // An answer from before a change would hide the change.
    if (round === this.rounds.list) {
      this.isRefused = reason?.status >= 400 && reason.status < 500;
      if (value || this.isRefused) this.listed = value ?? null;
      this.showAccounts();
    }
    if (reason) throw reason;
  }

  async reloadAccounts() {
    await this.list();
    this.onChange();
  }

  showAccounts() {
    const { deep, listed } = this;
    const rows = listed ? listed.accounts.map((account) => ({ ...account, ...use(account, deep) })) : deep.accounts?.map(fromHealth);
    const canChange = Boolean(listed) && listed.can_add !== false;
    this.form.hidden = this.isRefused;
    this.allowAdding();
    // The same rows stay: to draw them again would take the focus from their buttons.
    const shown = JSON.stringify([rows, canChange, locale()]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.drawAccounts(rows, canChange);
  }

  allowAdding() {
    const canAdd = this.listed?.can_add !== false;
    if (canAdd) say(this.tokenHelp, "refresh_token_help");
    else say(this.tokenHelp, "cannot_add", { why: this.listed.why ?? "" });
    this.addButton.disabled = this.isAdding || !canAdd;
  }

  drawAccounts(rows, canChange) {
    if (!rows?.length) {
      this.accounts.replaceChildren(...(rows ? [el("p", { class: "empty-note", t: "accounts_empty" })] : []));
      return;
    }
    const heads = ["account", "state", "until", "expires", "action"].map((key) => el("th", { scope: "col", t: key }));
    this.accounts.replaceChildren(el("table", { class: "account-table" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows.map((row) => this.row(row, canChange)))));
  }

  row(account, canChange) {
    const actions = el("div", { class: "actions" });
    if (canChange) actions.append(button("replace", () => this.replace(account.label), { class: "small" }));
    if (canChange && account.source === "store") actions.append(button("remove", (event) => this.remove(account.label, event.currentTarget), { class: "small" }));
    return el("tr", {},
      el("th", { scope: "row" }, el("code", {}, account.label ?? "–"), account.source === "environment" ? el("span", { class: "source", t: "from_settings" }) : null),
      el("td", {}, el("span", { class: `state state-${account.state}`, t: `state_${account.state}` }), toDo(account, canChange), account.problem ? el("span", { class: "help" }, account.problem) : null),
      cell("until", account.until ? moment(account.until) : null),
      cell("expires", account.expires_at ? shownDate(account.expires_at) : null),
      el("td", {}, actions),
    );
  }

  replace(label) {
    clearError(this.addError);
    say(this.addDone, "replace_how", { label });
    this.token.value = "";
    this.token.focus();
  }

  async add() {
    clearError(this.addError);
    say(this.addDone, "");
    let token;
    try {
      token = findToken(this.token.value);
    } catch (error) {
      showError(this.addError, error);
      this.token.focus();
      return;
    }
    const key = currentKey();
    this.isAdding = true;
    this.allowAdding();
    say(this.addDone, "adding");
    try {
      const response = await ask("tokens", { method: "POST", body: { token } });
      const account = await response.json();
      if (key !== currentKey()) return;
      this.token.value = "";
      say(this.addDone, response.status === 200 ? "replaced" : "added", { label: account.label ?? "" });
      await this.reloadAccounts();
    } catch (error) {
      if (key !== currentKey()) return;
      if (this.addDone.dataset.t === "adding") say(this.addDone, "");
      showError(this.addError, asShown(error));
    } finally {
      this.isAdding = false;
      this.allowAdding();
    }
  }

  async remove(label, pressed) {
    clearError(this.addError);
    const key = currentKey();
    pressed.disabled = true;
    try {
      await ask(`tokens/${encodeURIComponent(label)}`, { method: "DELETE" });
      if (key !== currentKey()) return;
      await this.reloadAccounts();
      say(this.addDone, "removed", { label });
      this.token.focus();
    } catch (error) {
      if (key !== currentKey()) return;
      pressed.disabled = false;
      showError(this.addError, asShown(error));
    }
  }

  showFacts(deep) {
    const notes = deep.notes ?? [];
    this.notes.replaceChildren(notes.length ? el("div", {}, el("p", { class: "some-notes", t: "some_notes" }), el("ul", {}, ...notes.map((note) => el("li", {}, note)))) : el("p", { class: "well", t: "all_well" }));
    this.facts.replaceChildren(
      ...fact("store", storeWords(deep.store ?? {})),
      ...fact("clock", clockWords(deep.clock ?? {})),
      ...fact("official", officialWords(deep)),
      ...fact("last_error", lastErrorWords(deep.last_error)),
      ...fact("version", versionWords(deep.versions ?? {})),
      ...fact("address", [el("code", {}, gatewayAddress())]),
    );
  }

  /** Look when the five events of /health?stream=1 arrive. */
  async measure(deep, isCurrent) {
    const isBufferedByHost = deep.versions?.platform === "lambda";
    try {
      const times = [];
      for await (const _ of eventsOf(await ask("health?stream=1"))) times.push(performance.now());
      if (!isCurrent()) return;
      const isSpread = times.length > 1 && times.at(-1) - times[0] >= SPREAD_MS;
      say(this.streams, isSpread ? "streams_yes" : isBufferedByHost ? "streams_unmeasured" : "streams_no");
      if (!isSpread && !isBufferedByHost) this.streams.append(el("span", { class: "help", t: "streams_no_help" }));
    } catch (error) {
      if (!isCurrent()) return;
      say(this.streams, "");
      showError(this.error, asShown(error));
    }
  }
}

/** Say the next step of a state. A free account needs none. */
function toDo({ state }, canChange) {
  const key = state === "refused" && !canChange ? "todo_refused_settings" : `todo_${state}`;
  return has(key) ? el("span", { class: "help", t: key }) : null;
}

/** A narrow screen shows no heads: there each cell has its name, and an empty one is left out. */
const cell = (key, content) => el("td", { class: content ? null : "nothing" }, el("span", { class: "cell-name" }, el("span", { t: key }), " "), content ?? "–");

const page = (path) => el("a", { href: path, target: "_blank", rel: "noopener" }, `/${path}`);

/** Links into the repository. The first push writes its name into the page (scripts/support/owner.py). */
function documents() {
  const repository = document.querySelector('meta[name="glm-gateway-repository"]')?.content ?? "";
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository) || repository.startsWith("OWNER/")) return [];
  return Object.entries(DOCUMENTS).map(([key, path]) =>
    el("a", { href: `https://github.com/${repository}${path}`, target: "_blank", rel: "noopener noreferrer", t: key }));
}

const fact = (key, words) => [el("dt", { t: key }), el("dd", {}, ...words)];

function storeWords({ scheme = "?", works, round_trip_ms: ms, problem }) {
  if (works === false) return [el("span", { t: "store_fails", tValues: { kind: scheme, problem: problem ?? "" } })];
  if (scheme === "memory") return [el("span", { t: "store_memory" })];
  const words = [el("span", { t: "store_works", tValues: { kind: scheme, ms: ms ?? "?" } })];
  if (LASTING_STORES.includes(scheme)) words.push(" ", el("span", { t: "store_lasts" }));
  return words;
}

function clockWords({ offset_s: offset, problem }) {
  if (offset === null || offset === undefined) return [el("span", { t: "clock_unknown", tValues: { problem: problem ?? "–" } })];
  return [el("span", { t: "clock_ok", tValues: { offset } })];
}

/** The keys of the official API, each in a line with its label and its state. */
function officialWords({ official_keys: keys = [] }) {
  if (!keys.length) return [el("span", { t: "official_none" })];
  return keys.map(({ label, state, problem }) => el("span", { class: "line" },
    el("code", {}, label), " · ", el("span", { class: `state state-${state}`, t: `official_${state}` }), problem ? el("span", { class: "help line" }, problem) : null,
  ));
}

function lastErrorWords(error) {
  if (!error) return [el("span", { t: "last_error_none" })];
  return [moment(error.at), ` · ${error.status} ${error.code} · ${error.route}`, el("span", { class: "help line" }, `x-request-id: ${error.request_id}`)];
}

function versionWords({ gateway, python = "?", platform = "?" }) {
  const version = new URL(import.meta.url).searchParams.get("v") ?? "–";
  return [el("span", { t: "version_text", tValues: { version: gateway ?? `glm-gateway ${t("page_version", { version })}`, python, platform } })];
}

/** A moment as the gateway tells it: Unix seconds, or ISO. */
function moment(value) {
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  return el("time", { datetime: date.toISOString() }, date.toLocaleString(locale(), { dateStyle: "short", timeStyle: "short" }));
}

function use(account, deep) {
  const found = (deep.accounts ?? []).find(({ label }) => label === account.label);
  return { problem: found?.problem ?? null };
}

function fromHealth(account) {
  const expires = account.refresh_token_expires ? Date.parse(account.refresh_token_expires) / 1000 : null;
  return { label: account.label, state: account.use === "leased" ? "busy" : account.state, source: account.token === null ? "store" : "environment", until: account.until, expires_at: expires, problem: account.problem };
}

const asShown = (error) => (error instanceof ApiError ? error : wordsError("error_network"));
