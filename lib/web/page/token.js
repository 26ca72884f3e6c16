// Finding a refresh token in pasted text, and how to get one.

import { wordsError } from "./api.js";
import { el } from "./dom.js";
import { locale } from "./words.js";

const NAMED = /chatglm_(refresh_)?token["'\s]*(?:[=:\t]|,[^{}]*?["']value["']\s*:)\s*["']?([\w%.-]+)/g;
/** A cookie string, `document.cookie`, a row of the developer tools, JSON, or the JSON of an extension: name, …, value. */
const JWT = /[\w-]{4,}\.[\w-]{4,}\.[\w-]+/g;

/** Return the one refresh token of the text. Raise an error in words if there is none. */
export function findToken(text) {
  const pasted = text.trim();
  if (!pasted) throw wordsError("token_missing");
  const tokens = candidates(pasted);
  const refresh = [...new Set(tokens.filter(({ kind }) => kind === "refresh").map(({ token }) => token))];
  if (refresh.length > 1) throw wordsError("token_several");
  if (refresh.length === 1) return checked(refresh[0]);
  if (tokens.some(({ kind }) => kind === "access")) throw wordsError("token_access");
  throw wordsError("token_none");
}

function candidates(text) {
  const named = [...text.matchAll(NAMED)].map((found) => ({ isRefresh: Boolean(found[1]), token: decoded(found[2]) }));
  const loose = [...decoded(text).matchAll(JWT)].map((found) => ({ isRefresh: false, token: found[0] }));
  const found = [];
  for (const { isRefresh, token } of [...named, ...loose]) {
    const claims = claimsOf(token);
    if (claims) found.push({ token, kind: claims.type ?? (isRefresh ? "refresh" : "") });
  }
  return found;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Read the middle part of a token (docs/conversations.md). Nothing here checks its signature. */
export function claimsOf(token) {
  const parts = token.split(".");
  if (parts.length !== 3) return null;
  try {
    const claims = JSON.parse(atob(parts[1].replaceAll("-", "+").replaceAll("_", "/")));
    return claims && typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}

function checked(token) {
  const { exp } = claimsOf(token);
  if (typeof exp === "number" && exp * 1000 < Date.now()) throw wordsError("token_expired", { date: shownDate(exp) });
  return token;
}

export const shownDate = (seconds) => new Date(seconds * 1000).toLocaleDateString(locale(), { year: "numeric", month: "short", day: "numeric" });

const PICTURES = ["token-login.svg", "token-cookie.svg", "token-paste.svg"];

/** The way to the token in three pictures, drawn by us. `loading` stands first: no picture is asked for before it is seen. */
export function guide() {
  const steps = PICTURES.map((picture, index) =>
    el("li", {}, el("p", { t: `guide_${index + 1}` }), el("img", { loading: "lazy", width: "520", height: "220", src: picture, tAlt: `guide_${index + 1}_alt` })),
  );
  return el("details", { class: "guide" },
    el("summary", { t: "guide_title" }),
    el("ol", {}, ...steps),
    el("p", { class: "help", t: "guide_not" }),
    el("p", { class: "help", t: "guide_phone" }),
  );
}
