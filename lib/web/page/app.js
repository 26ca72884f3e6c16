// The start of the page: the key, the tabs, the language.

import { ApiError, currentKey, forgetKey, keepKey, keptKey, useKey, askJson, wordsError } from "./api.js";
import { Chat } from "./chat.js";
import { Clients } from "./clients.js";
import { announce, clearError, say, showError } from "./dom.js";
import { Images, Videos } from "./media.js";
import { Status } from "./status.js";
import { startLanguage, switchLanguage } from "./words.js";

const TABS = ["chat", "images", "videos", "clients", "status"];
const byId = (id) => document.getElementById(id);

startLanguage();
byId("language").textContent = document.documentElement.lang === "en" ? "中文" : "English";
byId("language").lang = document.documentElement.lang === "en" ? "zh-CN" : "en";

const chat = new Chat(byId("panel-chat"), () => choose("status", { isFocused: true }));
const images = new Images(byId("panel-images"));
const videos = new Videos(byId("panel-videos"));
const clients = new Clients(byId("panel-clients"));
const status = new Status(byId("panel-status"), refresh);

// The tabs

function choose(name, { isFocused = false } = {}) {
  for (const tab of TABS) {
    const isChosen = tab === name;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(isChosen));
    byId(`tab-${tab}`).tabIndex = isChosen ? 0 : -1;
    byId(`panel-${tab}`).hidden = !isChosen;
  }
  document.body.dataset.tab = name;
  if (isFocused) byId(`tab-${name}`).focus();
  if (name === "status") status.load();
}

for (const [index, name] of TABS.entries()) {
  const tab = byId(`tab-${name}`);
  tab.addEventListener("click", () => choose(name));
  tab.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: index + 1, ArrowLeft: index - 1 + TABS.length, Home: 0, End: TABS.length - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(TABS[steps[event.key] % TABS.length], { isFocused: true });
  });
}

// The key

async function connect(key, { isForDevice = null } = {}) {
  useKey(key);
  await tryKey();
  if (isForDevice !== null) keepKey(isForDevice);
  clients.forget();
  byId("connect").hidden = true;
  byId("app").hidden = false;
  byId("disconnect").hidden = false;
  choose("chat");
  announce("connected");
  prepare();
  videos.resume();
}

/** Ask for the models. The gateway may have no account yet: the key is good all the same. */
async function tryKey() {
  try {
    await chat.connect();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (!(error.status >= 500 && error.code)) throw error;
  }
}

/** Learn how the switches begin, and which upstreams there are. The chat works without both. */
async function prepare() {
  const [health, tokens] = await Promise.allSettled([askJson("health"), askJson("tokens")]);
  chat.prepare(health.value ?? {}, tokens.value?.accounts);
  const available = { hasAccount: tokens.value?.accounts.length !== 0, hasOfficial: health.value?.official_keys > 0 };
  images.prepare(available);
  videos.prepare(available);
}

/** An account came or went, and its models with it. */
async function refresh() {
  await Promise.allSettled([prepare(), chat.connect()]);
}

function disconnect() {
  forgetKey();
  videos.stop();
  for (const tab of [chat, images, clients, status]) tab.forget();
  announce("");
  byId("api-key").value = "";
  byId("app").hidden = true;
  byId("disconnect").hidden = true;
  byId("connect").hidden = false;
  byId("api-key").focus();
}

byId("connect-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = byId("connect-error");
  const field = byId("api-key");
  const button = byId("connect-button");
  clearError(place);
  const key = field.value.trim();
  if (!key || !/^[\x21-\x7e]+$/.test(key)) {
    showError(place, wordsError(key ? "key_unsendable" : "key_missing"));
    field.focus();
    return;
  }
  button.disabled = true;
  say(button, "connecting");
  try {
    await connect(key, { isForDevice: byId("remember").checked });
    field.value = "";
    byId("message").focus();
  } catch (error) {
    useKey("");
    showError(place, error instanceof ApiError ? error : wordsError("error_network"));
    field.focus();
  } finally {
    button.disabled = false;
    say(button, "connect");
  }
});

byId("disconnect").addEventListener("click", disconnect);
byId("language").addEventListener("click", () => {
  switchLanguage();
  byId("language").textContent = document.documentElement.lang === "en" ? "中文" : "English";
  byId("language").lang = document.documentElement.lang === "en" ? "zh-CN" : "en";
  if (currentKey() && document.body.dataset.tab === "status") status.load();
});

// The start

const demoKey = document.querySelector('meta[name="glm-gateway-demo-key"]')?.content ?? "";
if (demoKey) {
  byId("api-key").value = demoKey;
  byId("demo-badge").hidden = false;
  byId("demo-note").hidden = false;
}

const kept = keptKey();
if (kept) {
  connect(kept).catch((error) => {
    useKey("");
    byId("connect").hidden = false;
    if (error.status === 401) forgetKey();
    showError(byId("connect-error"), error instanceof ApiError ? error : wordsError("error_network"));
  });
} else {
  byId("connect").hidden = false;
  byId("api-key").focus();
}
