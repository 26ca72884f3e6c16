// The gateway's API as the page uses it: relative addresses, one key, errors in words.

import { has } from "./words.js";

const KEPT_AS = "glm-gateway.key";
let key = "";

export class ApiError extends Error {
  /** `key` names words of ours in place of the API's message; `hint` names a next step. */
  constructor(message, { status = 0, code = null, key: words, values, retryAfter } = {}) {
    super(message);
    Object.assign(this, { status, code, key: words, values, retryAfter });
    this.hint = code && has(`hint_${code}`) ? `hint_${code}` : undefined;
  }
}

/** An error in the page's own words. */
export const wordsError = (words, values) => new ApiError("", { key: words, values });

function kept(storage) {
  try {
    return storage().getItem(KEPT_AS) ?? "";
  } catch {
    return "";
  }
}

export const currentKey = () => key;
export const keptKey = () => kept(() => sessionStorage) || kept(() => localStorage);
export const useKey = (given) => { key = given; };

/** Keep the key for this tab, or on the device. It never stands in an address. */
export function keepKey(isForDevice) {
  forgetKey({ alsoHere: false });
  try {
    (isForDevice ? localStorage : sessionStorage).setItem(KEPT_AS, key);
  } catch { /* The key then lasts until the page is closed. */ }
}

export function forgetKey({ alsoHere = true } = {}) {
  if (alsoHere) key = "";
  for (const storage of [() => sessionStorage, () => localStorage]) {
    try {
      storage().removeItem(KEPT_AS);
    } catch { /* There is nothing to forget. */ }
  }
}

/** Send a request and return the response. Raise an ApiError for every refusal. */
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const init = { method, signal, cache: "no-store", credentials: "omit", redirect: "error", headers: { authorization: `Bearer ${key}`, ...headers } };
  if (body !== undefined) {
    init.headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { key: "error_network" });
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
}

export async function askJson(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { key: "error_network" });
  }
}

async function refusalOf(response) {
  const { status } = response;
  const retryAfter = Number.parseInt(response.headers.get("retry-after") ?? "", 10) || undefined;
  let error;
  try {
    ({ error } = await response.json());
  } catch { /* A host answers some refusals with a page of its own. */ }
  if (typeof error?.message === "string") return new ApiError(error.message, { status, code: error.code, retryAfter });
  if (status === 413) return new ApiError("", { status, key: "error_too_large" });
  if (status === 504) return new ApiError("", { status, key: "error_timeout_host" });
  return new ApiError("", { status, key: "error_status", values: { status }, retryAfter });
}

/** Read server-sent events: yield the data of each. */
export async function* eventsOf(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      buffer += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const records = buffer.split(/\r?\n\r?\n/);
      buffer = done ? "" : records.pop();
      for (const record of records) {
        const lines = record.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      }
      if (done) return;
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw new ApiError("", { key: "cut" });
  } finally {
    reader.cancel().catch(() => {});
  }
}
