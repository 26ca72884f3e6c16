// A chat as a request, and the same request as curl and as Python.

import { partOf } from "./attachments.js";
import { gatewayAddress } from "./dom.js";

const THINKS = /(?:^|[-_:/ ])(?:think|thinking|zero|deepthink|deep-think|max|deepresearch|deep-research)(?=$|[-_:/ ])/i;
const SEARCHES = /(?:^|[-_:/ ])(?:no)?search(?=$|[-_:/ ])/i;

/** The body of a request. A word in the model's name (docs/models.md) wins over a switch. */
export function chatBody(turns, { model, isThinking, isSearching, searchesByDefault, isKept, conversationId }) {
  const sent = isKept && conversationId ? turns.slice(-1) : turns;
  const hasSearchWord = SEARCHES.test(model);
  const body = {
    model: !isSearching && searchesByDefault && !hasSearchWord ? `${model}-nosearch` : model || undefined,
    messages: sent.map(messageOf),
    stream: true,
  };
  if (isThinking && !THINKS.test(model)) body.reasoning_effort = "high";
  if (isSearching && !hasSearchWord) body.web_search_options = {};
  if (isKept) body.conversation_id = conversationId ?? "";
  return body;
}

function messageOf({ role, text, files = [] }) {
  if (!files.length) return { role, content: text };
  const parts = text ? [{ type: "text", text }] : [];
  return { role, content: [...parts, ...files.map(partOf)] };
}

const shorten = (key, value) => (typeof value === "string" && value.startsWith("data:") && value.length > 80 ? `${value.slice(0, 40)}…` : value);

export function asCurl(body) {
  const json = JSON.stringify(body, shorten, 2).replaceAll("'", "'\\''");
  return `curl -N ${gatewayAddress()}/v1/chat/completions \\\n  -H "Authorization: Bearer $API_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${json}'`;
}

const OWN_FIELDS = ["conversation_id", "web_search_options"];
/** The SDK's method does not know every field in every version, so these go into its `extra_body`. */

export function asPython(body) {
  const own = Object.fromEntries(Object.entries(body).filter(([name]) => OWN_FIELDS.includes(name)));
  const known = Object.entries(body).filter(([name]) => !OWN_FIELDS.includes(name));
  const lines = known.map(([name, value]) => `    ${name}=${python(value)},`);
  if (Object.keys(own).length) lines.push(`    extra_body=${python(own)},`);
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${gatewayAddress()}/v1", api_key=os.environ["API_KEY"])`,
    "stream = client.chat.completions.create(",
    ...lines,
    ")",
    "for chunk in stream:",
    "    if chunk.choices and chunk.choices[0].delta.content:",
    '        print(chunk.choices[0].delta.content, end="", flush=True)',
  ].join("\n");
}

/** JSON as a Python literal: the words for true, false and null differ. Strings are the same. */
function python(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item)}`).join(", ")}}`;
  return JSON.stringify(shorten("", value));
}
