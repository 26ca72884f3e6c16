// Small tools for the document. No text ever becomes markup: nodes are built, never parsed.

import { say, t, translate } from "./words.js";

/** Make an element. `t`, `tLabel`, `tPlaceholder`, `tAlt`, `tGroup` are keys of words; `on…` are listeners. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  const { t: key, tValues, tLabel, tPlaceholder, tAlt, tGroup, ...rest } = properties;
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, value);
  }
  if (key) say(node, key, tValues);
  else if (tValues) node.dataset.tValues = JSON.stringify(tValues);
  if (tLabel) node.setAttribute("aria-label", t((node.dataset.tLabel = tLabel), tValues));
  if (tPlaceholder) node.setAttribute("placeholder", t((node.dataset.tPlaceholder = tPlaceholder)));
  if (tAlt) node.setAttribute("alt", t((node.dataset.tAlt = tAlt), tValues));
  if (tGroup) node.setAttribute("label", t((node.dataset.tGroup = tGroup)));
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const button = (key, onclick, properties = {}) => el("button", { type: "button", t: key, onclick, ...properties });

/** Tell a screen reader, without moving anything on the screen. */
export function announce(key, values) {
  say(document.getElementById("announcer"), key, values);
}

export async function copy(text) {
  // Pages on plain http have no clipboard object.
  try {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch { /* The browser asked, and the user said no: the older way may still work. */ }
  const focused = document.activeElement;
  const area = el("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1", readonly: true });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  let isDone = false;
  try {
    isDone = document.execCommand("copy");
  } finally {
    area.remove();
    focused?.focus();
  }
  return isDone;
}

/** A button that copies, and says so. `text` is a function, because the text may change. */
export function copyButton(key, text, values) {
  const node = button(key, async () => {
    const isDone = await copy(text());
    announce(isDone ? "copied" : "copy_failed");
    node.classList.toggle("done", isDone);
    say(node.querySelector("span"), isDone ? "copied" : "copy_failed");
    setTimeout(() => {
      node.classList.remove("done");
      say(node.querySelector("span"), key, values);
    }, 1600);
  }, { class: "small", tValues: values });
  const label = el("span", { t: key, tValues: values });
  delete node.dataset.t;
  node.replaceChildren(label);
  return node;
}

export function codeBlock(text, copyKey = "copy_code", name = "") {
  const code = el("code", {}, text);
  return el(
    "div",
    { class: name ? "code" : "code unnamed" },
    el("div", { class: "code-head" }, name ? el("span", {}, name) : null, copyButton(copyKey, () => code.textContent)),
    el("pre", { tabindex: "0" }, code),
  );
}

/** Show an error: the API's words, and a sentence with the next step. Other errors of the place go. */
export function showError(place, error, { onRetry } = {}) {
  const alert = el("div", { role: "alert", class: "alert" });
  place.replaceChildren(alert);
  // The words come after the alert is there: screen readers then read them.
  alert.append(error.key ? el("p", { t: error.key, tValues: error.values }) : el("p", {}, error.message));
  if (error.hint) alert.append(el("p", { class: "hint", t: error.hint }));
  if (error.retryAfter) alert.append(el("p", { class: "hint", t: "error_seconds", tValues: { seconds: error.retryAfter } }));
  if (onRetry) alert.append(button("retry", onRetry, { class: "small" }));
}

export function clearError(place) {
  place.replaceChildren();
}

/** Random letters. `crypto.randomUUID` is missing on plain http; `getRandomValues` is not. */
export function randomText(bytes) {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...values)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export const gatewayAddress = () => new URL(".", location.href).href.replace(/\/$/, "");

export { say, t, translate };
