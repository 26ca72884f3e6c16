// The tabs Images and Videos: a prompt, and the things that were made in this tab.

import { ApiError, ask, askJson, wordsError } from "./api.js";
import { announce, button, clearError, el, randomText, say, showError } from "./dom.js";
import { link, safeAddress } from "./markdown.js";

const SHAPES = { size_square: "1:1", size_portrait: "3:4", size_landscape: "4:3", size_tall: "9:16", size_wide: "16:9" };
const VIDEO_KINDS = { video_plain: "cogvideox", video_pro: "cogvideox-pro" };
const OFFICIAL_IMAGES = ["glm-image", "cogview-4", "cogview-3-flash"];
const OFFICIAL_VIDEOS = ["cogvideox-3", "cogvideox-2", "cogvideox-flash"];
const FREE = ["cogview-3-flash", "cogvideox-flash"];
/** Those of docs/official.md that make something from words alone. */
const KINDS = { "/9j/": "jpeg", iVBO: "png", R0lG: "gif", UklG: "webp" };
/** The first letters of base64 tell the type of a picture. */
const POLL_MS = 3000;
const MAX_POLL_MS = 20000;
const KEPT_AS = "glm-gateway.videos";
const MAX_KEPT = 30;

/** Fill a select with the account's choices, the official API's models, or both in groups. */
function offer(select, own, official) {
  const chosen = select.value;
  const ownOptions = Object.entries(own).map(([key, value]) => el("option", { value, t: key }));
  const officialOptions = official.map((name) =>
    FREE.includes(name) ? el("option", { value: name, t: "model_free", tValues: { name } }) : el("option", { value: name }, name));
  const groups = [["by_account", ownOptions], ["by_official", officialOptions]].filter(([, options]) => options.length);
  select.replaceChildren(...(official.length ? groups.map(([key, options]) => el("optgroup", { tGroup: key }, ...options)) : ownOptions));
  if ([...select.options].some(({ value }) => value === chosen)) select.value = chosen;
}

/** Without an account, only the models of the official API can answer; the free one comes first. */
function offered(own, official, { hasAccount, hasOfficial }) {
  if (!hasOfficial) return [own, []];
  return hasAccount ? [own, official] : [{}, [...official].reverse()];
}

const inlineField = (select, key) => el("div", { class: "inline-field" }, el("label", { for: select.id, t: key }), select);

function promptForm(name, hintKey, choices, choiceKey, onSubmit) {
  const prompt = el("textarea", { id: `${name}-prompt`, rows: "3", tPlaceholder: hintKey });
  const choice = el("select", { id: `${name}-choice` }, ...Object.entries(choices).map(([key, value]) => el("option", { value, t: key })));
  const create = el("button", { type: "submit", class: "primary", t: "create" });
  const error = el("div", { class: "error-place" });
  const form = el("form", { class: "card stack", novalidate: true },
    el("div", { class: "field" }, el("label", { for: prompt.id, t: "prompt" }), prompt),
    el("div", { class: "composer-row" },
      el("div", { class: "switches" }, inlineField(choice, choiceKey)),
      create,
    ),
    error,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearError(error);
    const text = prompt.value.trim();
    if (text) onSubmit(text, choice.value);
    else {
      showError(error, wordsError("prompt_first"));
      prompt.focus();
    }
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) form.requestSubmit();
  });
  return { form, prompt, create, error, choice };
}

function clearForm({ prompt, error }) {
  prompt.value = "";
  clearError(error);
}

export class Images {
  constructor(panel) {
    this.gallery = el("div", { class: "gallery" });
    this.drawings = new Set();
    this.empty = el("p", { class: "empty-note", t: "images_empty" });
    this.parts = promptForm("image", "image_hint", SHAPES, "size", (prompt, size) => this.create(prompt, size));
    this.model = el("select", { id: "image-model" });
    this.modelField = inlineField(this.model, "drawn_by");
    this.parts.choice.closest(".switches").append(this.modelField);
    this.prepare({ hasAccount: true, hasOfficial: false });
    panel.append(el("div", { class: "page" }, this.parts.form, this.empty, this.gallery));
  }

  /** Offer the models that can answer. A single one is no choice. */
  prepare(available) {
    offer(this.model, ...offered({ image_account: "" }, OFFICIAL_IMAGES, available));
    this.modelField.hidden = this.model.options.length < 2;
  }

  forget() {
    for (const stopping of this.drawings) stopping.abort();
    this.gallery.replaceChildren();
    this.empty.hidden = false;
    clearForm(this.parts);
  }

  async create(prompt, size) {
    const stopping = new AbortController();
    this.drawings.add(stopping);
    const cancel = button("cancel", () => stopping.abort(), { class: "small" });
    const card = el("div", { class: "drawing", role: "status" }, el("span", { class: "pulse", "aria-hidden": "true" }), el("p", { t: "drawing" }), cancel);
    this.empty.hidden = true;
    this.gallery.prepend(card);
    this.parts.create.disabled = true;
    try {
      const body = { prompt, model: this.model.value || undefined, size, n: 1, response_format: "b64_json" };
      const { data } = await askJson("v1/images/generations", { method: "POST", body, signal: stopping.signal });
      card.replaceWith(...data.map((image) => pictureCard(image, prompt)));
      announce("picture_of", { prompt });
    } catch (error) {
      card.remove();
      if (stopping.signal.aborted) announce("cancelled");
      else showError(this.parts.error, asShown(error));
      this.empty.hidden = this.gallery.children.length > 0;
    } finally {
      this.drawings.delete(stopping);
      this.parts.create.disabled = false;
    }
  }
}

function pictureCard(image, prompt) {
  const caption = el("figcaption", {}, el("span", {}, prompt));
  if (!image.b64_json) {
    return el("figure", {}, el("p", {}, link([prompt], image.url ?? "", prompt)), caption);
  }
  const kind = KINDS[image.b64_json.slice(0, 4)] ?? "png";
  const address = `data:image/${kind};base64,${image.b64_json}`;
  caption.append(el("a", { href: address, download: `glm-${Date.now()}.${kind}`, class: "small button", t: "download" }));
  return el("figure", {}, el("img", { src: address, alt: prompt }), caption);
}

export class Videos {
  constructor(panel) {
    this.list = el("div", { class: "videos" });
    this.empty = el("p", { class: "empty-note", t: "videos_empty" });
    this.parts = promptForm("video", "video_hint", VIDEO_KINDS, "quality", (prompt, model) => this.create(prompt, model));
    this.jobs = [];
    panel.append(el("div", { class: "page" }, this.parts.form, this.empty, this.list));
  }

  prepare(available) {
    offer(this.parts.choice, ...offered(VIDEO_KINDS, OFFICIAL_VIDEOS, available));
  }

  /** Go on with the videos that this tab ordered before a reload. */
  resume() {
    if (this.jobs.length) return;
    for (const { id, prompt } of keptVideos()) this.follow(new Job(this, prompt, id), false);
  }

  stop() {
    for (const job of this.jobs) job.isOver = true;
    this.jobs = [];
    this.list.replaceChildren();
    this.empty.hidden = false;
    clearForm(this.parts);
    keepVideos([]);
  }

  async create(prompt, model) {
    this.parts.create.disabled = true;
    const job = new Job(this, prompt);
    this.follow(job, true);
    try {
      await job.order(model);
    } catch (error) {
      if (!job.isOver) showError(this.parts.error, asShown(error));
      job.remove();
    } finally {
      this.parts.create.disabled = false;
    }
  }

  follow(job, isNewest) {
    this.empty.hidden = true;
    this.jobs.push(job);
    if (isNewest) this.list.prepend(job.node);
    else this.list.append(job.node);
    if (job.id) job.watch();
  }

  keep() {
    keepVideos(this.jobs.filter(({ id }) => id).map(({ id, prompt }) => ({ id, prompt })));
  }
}

/** One video: ordered, looked at until it is done, shown after a click. */
class Job {
  constructor(list, prompt, id = "") {
    Object.assign(this, { list, prompt, id, isOver: false });
    this.words = el("p", { class: "video-state", t: "video_ordering" });
    this.bar = el("progress", { max: "100", tLabel: "video_progress" });
    this.cancelButton = button("cancel", () => this.cancel(), { class: "small" });
    this.result = el("div", { class: "video-result" });
    this.node = el("article", { class: "card video" }, el("h2", { class: "video-prompt" }, prompt), this.words, this.bar, this.result, el("div", { class: "foot-row" }, this.cancelButton));
  }

  async order(model) {
    // The same order twice would cost twice: the gateway knows it by this name.
    const headers = { "idempotency-key": randomText(18) };
    const answer = await askJson("v1/videos/generations", { method: "POST", body: { prompt: this.prompt, model, wait: 0 }, headers });
    this.id = answer.id;
    if (this.isOver) {
      await this.forgetAtGateway();
      return;
    }
    this.list.keep();
    if (!this.show(answer)) this.watch();
  }

  async watch() {
    let pause = POLL_MS;
    while (!this.isOver) {
      try {
        if (this.show(await askJson(`v1/videos/generations/${encodeURIComponent(this.id)}`))) return;
        pause = POLL_MS;
      } catch (error) {
        if (error.status && error.status < 500 && error.status !== 429) {
          this.fail(asShown(error));
          return;
        }
        pause = Math.min(pause * 2, MAX_POLL_MS);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** Show the state. Return true if it will not change any more. */
  show(answer) {
    if (this.isOver) return true;
    if (answer.status === "failed") {
      this.fail(new ApiError(answer.error?.message ?? "", { code: answer.error?.code }));
      return true;
    }
    const address = answer.data?.[0]?.video_url;
    if (address) {
      this.finish(address, answer.data[0]);
      return true;
    }
    const percent = Math.round(answer.progress ?? 0);
    if (!percent) {
      // The official API tells no percentage.
      say(this.words, answer.status === "queued" ? "video_queued" : "video_making");
      this.bar.removeAttribute("value");
    } else {
      say(this.words, "video_working", { percent });
      this.bar.value = percent;
    }
    return false;
  }

  finish(address, { resolution, video_duration: duration }) {
    this.end("video_done");
    if (resolution || duration) this.words.after(el("p", { class: "help" }, [duration, resolution].filter(Boolean).join(" · ")));
    const safe = safeAddress(address);
    const place = el("div", { class: "screen" });
    const play = button("video_show", () => {
      const video = el("video", { src: safe, controls: true, playsinline: true, "aria-label": this.prompt });
      place.replaceChildren(video);
      play.remove();
      video.focus();
      video.play().catch(() => { /* The user starts it. */ });
    }, { class: "small primary" });
    this.result.append(place, el("div", { class: "foot-row" }, safe ? play : null, link([el("span", { t: "video_open" })], address, address)), el("p", { class: "help", t: "video_leaves" }));
    announce("video_done");
  }

  fail(error) {
    this.end("video_failed");
    showError(this.result, error);
  }

  end(key) {
    this.isOver = true;
    say(this.words, key);
    this.bar.remove();
    say(this.cancelButton, "video_remove");
  }

  async cancel() {
    const wasRunning = !this.isOver;
    this.remove();
    this.list.parts.prompt.focus();
    if (wasRunning) {
      announce("cancelled");
      if (this.id) await this.forgetAtGateway();
    }
  }

  async forgetAtGateway() {
    try {
      await ask(`v1/videos/${encodeURIComponent(this.id)}`, { method: "DELETE" });
    } catch { /* It is gone from this list in any case. */ }
  }

  remove() {
    this.isOver = true;
    this.node.remove();
    this.list.jobs = this.list.jobs.filter((job) => job !== this);
    this.list.empty.hidden = this.list.jobs.length > 0;
    this.list.keep();
  }
}

function keptVideos() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT_AS) ?? "[]");
    return kept.filter(({ id, prompt }) => typeof id === "string" && typeof prompt === "string");
  } catch {
    return [];
  }
}

function keepVideos(videos) {
  try {
    if (videos.length) sessionStorage.setItem(KEPT_AS, JSON.stringify(videos.slice(-MAX_KEPT)));
    else sessionStorage.removeItem(KEPT_AS);
  } catch { /* They last until the page is closed. */ }
}

const asShown = (error) => (error instanceof ApiError ? error : wordsError("error_network"));
