// Markdown as document nodes. Nothing is parsed as HTML: a tag in the text is text.

import { codeBlock, el } from "./dom.js";

const MAX_INLINE_CHARS = 20000;
/** A longer paragraph is shown as it is: some patterns take the square of its length. */
const MAX_DEPTH = 8;

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?\s*#*\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}>\s?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(?:\s+(.*)|\s*)$/;
const TABLE_RULE = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** Show the text in the node. Blocks that did not change keep their nodes: a selection in them stays. */
export function showMarkdown(node, text) {
  const blocks = blocksOf(text.replace(/\r\n?/g, "\n").split("\n"));
  blocks.forEach((block, index) => {
    const shown = node.children[index];
    if (shown?.source === block.source) return;
    const made = build(block, 0);
    made.source = block.source;
    if (shown) shown.replaceWith(made);
    else node.append(made);
  });
  while (node.children.length > blocks.length) node.lastChild.remove();
}

function blocksOf(lines) {
  const blocks = [];
  let at = 0;
  const add = (kind, end, more = {}) => {
    blocks.push({ kind, lines: lines.slice(at, end), source: `${kind}\n${lines.slice(at, end).join("\n")}`, ...more });
    at = end;
  };
  while (at < lines.length) {
    const line = lines[at];
    let found;
    if (!line.trim()) at += 1;
    else if ((found = FENCE.exec(line))) add("code", fenceEnd(lines, at, found), { indent: found[1].length, language: found[3] });
    else if ((found = HEADING.exec(line))) add("heading", at + 1, { level: found[1].length, text: found[2] ?? "" });
    else if (RULE.test(line)) add("rule", at + 1);
    else if (QUOTE.test(line)) add("quote", runEnd(lines, at, (next) => QUOTE.test(next) || (next.trim() && !startsBlock(next))));
    else if (ITEM.test(line)) add("list", listEnd(lines, at));
    else if (isTable(lines, at)) add("table", runEnd(lines, at, (next) => next.includes("|")));
    else add("paragraph", paragraphEnd(lines, at));
  }
  return blocks;
}

const startsBlock = (line) => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
const isTable = (lines, at) => lines[at].includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && TABLE_RULE.test(lines[at + 1]);

function runEnd(lines, at, belongs) {
  let end = at + 1;
  while (end < lines.length && belongs(lines[end])) end += 1;
  return end;
}

function fenceEnd(lines, at, [, , fence]) {
  const closes = new RegExp(`^\\s*\\${fence[0]}{${fence.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closes.test(lines[end])) end += 1;
  return Math.min(end + 1, lines.length);
}

function paragraphEnd(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !startsBlock(lines[end]) && !isTable(lines, end)) end += 1;
  return end;
}

/** A list goes on over an empty line if an item or an indented line follows. */
function listEnd(lines, at) {
  const first = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(first[2]);
  let end = at + 1;
  while (end < lines.length) {
    const line = lines[end];
    const item = ITEM.exec(line);
    const isIndented = /^\s{2,}/.test(line);
    if (!line.trim()) {
      const next = lines[end + 1] ?? "";
      const nextItem = ITEM.exec(next);
      if (!(/^\s{2,}\S/.test(next) || (nextItem && /\d/.test(nextItem[2]) === isOrdered))) break;
    } else if (item && !isIndented && /\d/.test(item[2]) !== isOrdered) break;
    else if (!item && !isIndented && (startsBlock(line) || !lines[end - 1].trim())) break;
    else if (RULE.test(line)) break;
    end += 1;
  }
  return end;
}

function build(block, depth) {
  switch (block.kind) {
    case "code":
      return codeOf(block);
    case "heading":
      // The page's own headings are h1 and h2: an answer's begin below them.
      return el(`h${Math.min(block.level + 2, 6)}`, {}, ...inline(block.text));
    case "rule":
      return el("hr");
    case "quote":
      return el("blockquote", {}, ...nested(block.lines.map((line) => line.replace(QUOTE, "")), depth));
    case "list":
      return listOf(block.lines, depth);
    case "table":
      return tableOf(block.lines);
    default:
      return el("p", {}, ...inline(block.lines.map((line) => line.trim()).join("\n")));
  }
}

function nested(lines, depth) {
  if (depth >= MAX_DEPTH) return [document.createTextNode(lines.join("\n"))];
  return blocksOf(lines).map((block) => build(block, depth + 1));
}

function codeOf({ lines, indent, language }) {
  const closes = lines.length > 1 && /^\s*(`{3,}|~{3,})\s*$/.test(lines.at(-1));
  const inside = lines.slice(1, closes ? -1 : undefined);
  return codeBlock(inside.map((line) => line.replace(new RegExp(`^ {0,${indent}}`), "")).join("\n"), "copy_code", language);
}

function listOf(lines, depth) {
  const [, indent, marker] = ITEM.exec(lines[0]);
  const isOrdered = /\d/.test(marker);
  const list = el(isOrdered ? "ol" : "ul");
  const start = Number.parseInt(marker, 10);
  if (isOrdered && start !== 1) list.setAttribute("start", start);
  const items = [];
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (found && found[1].length <= indent.length + 1) items.push({ lines: [found[3] ?? ""], width: found[1].length + found[2].length + 1 });
    else items.at(-1).lines.push(line.replace(new RegExp(`^\\s{0,${items.at(-1).width}}`), ""));
  }
  for (const item of items) list.append(itemOf(item.lines, depth));
  return list;
}

function itemOf(lines, depth) {
  const task = /^\[([ xX])\]\s+/.exec(lines[0]);
  if (task) lines[0] = lines[0].slice(task[0].length);
  const children = nested(lines, depth);
  // An item of one paragraph needs no paragraph's space around it.
  const content = children[0]?.tagName === "P" ? [...children[0].childNodes, ...children.slice(1)] : children;
  const mark = task && el("span", { class: "task" }, task[1] === " " ? "☐ " : "☑ ");
  return el("li", {}, mark, ...content);
}

function tableOf(lines) {
  const sides = cellsOf(lines[1]).map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "end") : ""));
  const row = (line, tag) => {
    const cells = cellsOf(line).slice(0, sides.length);
    while (cells.length < sides.length) cells.push("");
    return el("tr", {}, ...cells.map((cell, column) => el(tag, { class: sides[column] ? `to-${sides[column]}` : null }, ...inline(cell))));
  };
  const head = el("thead", {}, row(lines[0], "th"));
  const body = el("tbody", {}, ...lines.slice(2).map((line) => row(line, "td")));
  return el("div", { class: "table", tabindex: "0" }, el("table", {}, head, body));
}

function cellsOf(line) {
  const cells = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/);
  return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

// Inside a paragraph

const TARGET = String.raw`\(\s*<?((?:[^\s<>()]|\([^\s()]*\))*)>?(?:\s+["'(][^"')]*["')])?\s*\)`;
const RULES = [
  [/\\([!-/:-@[-`{-~])/y, (found) => found[1]],
  [/(`+)(?!`)([\s\S]*?[^`])\1(?!`)/y, (found) => el("code", {}, found[2].replace(/^ (.*\S.*) $/s, "$1"))],
  [new RegExp(String.raw`!\[([^\]\n]*)\]${TARGET}`, "y"), (found) => picture(found[1], found[2])],
  [new RegExp(String.raw`\[((?:[^\[\]\\]|\\.|!?\[[^\[\]]*\](?:\([^()\s]*\))?)+)\]${TARGET}`, "y"), (found, depth) => link(inline(found[1], depth + 1), found[2], found[0])],
  [/<((?:https?:\/\/|mailto:)[^\s<>]+)>/y, (found) => link([found[1]], found[1], found[0])],
  [/https?:\/\/[^\s<>"'`，。；：！？、（）《》「」【】|]+/y, (found) => bare(found[0])],
  [/\*\*\*(?=\S)((?:[^*]|\*(?!\*\*))*?\S)\*\*\*/y, (found, depth) => el("strong", {}, el("em", {}, ...inline(found[1], depth + 1)))],
  [/\*\*(?=\S)((?:[^*]|\*(?!\*))*?[^\s])\*\*/y, (found, depth) => el("strong", {}, ...inline(found[1], depth + 1))],
  [/__(?=\S)((?:[^_]|_(?!_))*?\S)__(?!\w)/y, (found, depth) => el("strong", {}, ...inline(found[1], depth + 1))],
  [/\*(?=[^\s*])((?:[^*]|\*\*(?:[^*])+\*\*)*?[^\s*]|[^\s*])\*(?!\*)/y, (found, depth) => el("em", {}, ...inline(found[1], depth + 1))],
  [/_(?=[^\s_])([^_]*[^\s_]|[^\s_])_(?!\w)/y, (found, depth) => el("em", {}, ...inline(found[1], depth + 1))],
  [/~~(?=\S)([^~]*\S)~~/y, (found, depth) => el("del", {}, ...inline(found[1], depth + 1))],
  [/\n/y, () => el("br")],
];
const SPECIAL = /[\\`![<h*_~\n]/g;

export function inline(text, depth = 0) {
  if (text.length > MAX_INLINE_CHARS || depth > MAX_DEPTH) return [text];
  const nodes = [];
  let plain = "";
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text);
    const until = next ? next.index : text.length;
    plain += text.slice(at, until);
    at = until;
    if (!next) break;
    const made = match(text, at, depth);
    if (made) {
      if (plain) nodes.push(plain);
      plain = "";
      nodes.push(made.node);
      at = made.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain) nodes.push(plain);
  return nodes;
}

function match(text, at, depth) {
  const before = text[at - 1] ?? " ";
  for (const [pattern, make] of RULES) {
    pattern.lastIndex = at;
    // An underscore, or an address, within a word is a part of the word.
    if ((text[at] === "_" || text[at] === "h") && /[A-Za-z0-9_]/.test(before)) return null;
    const found = pattern.exec(text);
    // Not `lastIndex`: what is inside uses the same patterns.
    if (found) return { node: make(found, depth), end: at + found[0].length };
  }
  return null;
}

export function safeAddress(address) {
  try {
    const url = new URL(address);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function link(content, address, otherwise) {
  const href = safeAddress(address);
  if (!href) return document.createTextNode(otherwise);
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...content);
}

/** An address without marks around it ends before the sentence's own signs. */
function bare(address) {
  const end = /[.,;:!?*_~)\]}]+$/.exec(address)?.[0] ?? "";
  const isBalanced = end.startsWith(")") && (address.match(/\(/g) ?? []).length >= (address.match(/\)/g) ?? []).length;
  const shown = end && !isBalanced ? address.slice(0, -end.length) : address;
  return el("span", {}, link([shown], shown, shown), address.slice(shown.length));
}

/** A picture in the text itself is shown. One of another origin is a link: showing it would tell that origin. */
function picture(alt, address) {
  if (/^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/.test(address)) return el("img", { src: address, alt });
  return link(["🖼 ", alt || address], address, alt);
}
