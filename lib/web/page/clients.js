// The tab Clients: each program with this gateway's own address. It follows docs/clients.md.

import { currentKey } from "./api.js";
import { announce, button, codeBlock, copyButton, el, gatewayAddress, randomText } from "./dom.js";

const MODEL = "glm-5.3";
const PLACEHOLDER = "YOUR_API_KEY";

/** Each has its name and its steps. A step is a key of words, or a block to copy. */
function clientsOf(root, key) {
  const v1 = `${root}/v1`;
  return {
    group_agents: [
      ["Claude Code", [
        words("step_shell"),
        block("copy_commands", `export ANTHROPIC_BASE_URL=${root}\nexport ANTHROPIC_AUTH_TOKEN=${key}\nexport ANTHROPIC_MODEL=${MODEL}\nclaude`),
        words("step_claude_note"),
      ]],
      ["Codex", [
        words("step_file", { file: "~/.codex/config.toml" }),
        block("copy_settings", `model = "${MODEL}"\nmodel_provider = "glm"\n\n[model_providers.glm]\nname = "glm-gateway"\nbase_url = "${v1}"\nenv_key = "GLM_GATEWAY_KEY"\nwire_api = "responses"`),
        words("step_start"),
        block("copy_commands", `export GLM_GATEWAY_KEY=${key}\ncodex`),
        words("step_codex_note"),
      ]],
      ["Gemini CLI", [
        words("step_shell"),
        block("copy_commands", `export GOOGLE_GEMINI_BASE_URL=${root}\nexport GEMINI_API_KEY=${key}\nexport GEMINI_MODEL=${MODEL}\ngemini`),
        words("step_gemini_note"),
      ]],
      ["opencode", [
        words("step_file", { file: "opencode.json" }),
        block("copy_settings", JSON.stringify({ provider: { glm: { npm: "@ai-sdk/openai-compatible", options: { baseURL: v1, apiKey: key }, models: { [MODEL]: {} } } } }, null, 2)),
        words("step_start"),
        block("copy_commands", `opencode run -m glm/${MODEL}`),
      ]],
      ["qwen-code", [
        words("step_shell"),
        block("copy_commands", `export OPENAI_BASE_URL=${v1}\nexport OPENAI_API_KEY=${key}\nexport OPENAI_MODEL=${MODEL}\nqwen --auth-type openai`),
      ]],
      ["aider", [
        words("step_shell"),
        block("copy_commands", `export OPENAI_API_BASE=${v1}\nexport OPENAI_API_KEY=${key}\naider --model openai/${MODEL} --edit-format whole --no-show-model-warnings`),
      ]],
    ],
    group_apps: [
      ["Open WebUI", [words("step_openwebui"), block("copy_address", v1), words("step_openwebui_note")]],
      ["Cherry Studio", [words("step_cherry"), block("copy_address", root)]],
      ["NextChat", [words("step_nextchat"), block("copy_address", root)]],
      ["ChatBox, LobeChat, Dify, n8n, AstrBot, NoneBot, Koishi", [words("step_app_v1"), block("copy_address", v1)]],
      ["沉浸式翻译 · Immersive Translate", [words("step_immersive"), block("copy_address", `${v1}/chat/completions`)]],
    ],
    group_code: [
      ["OpenAI SDK · Python", [
        words("step_python"),
        block("copy_code", `from openai import OpenAI\n\nclient = OpenAI(base_url="${v1}", api_key="${key}")\nanswer = client.chat.completions.create(\n    model="${MODEL}",\n    messages=[{"role": "user", "content": "Hello!"}],\n)\nprint(answer.choices[0].message.content)`),
      ]],
      ["Anthropic SDK · Python", [
        words("step_anthropic"),
        block("copy_code", `from anthropic import Anthropic\n\nclient = Anthropic(base_url="${root}", api_key="${key}")\nanswer = client.messages.create(\n    model="${MODEL}",\n    max_tokens=1000,\n    messages=[{"role": "user", "content": "Hello!"}],\n)\nprint(answer.content[0].text)`),
      ]],
      ["curl", [
        block("copy_code", `curl ${v1}/chat/completions \\\n  -H "Authorization: Bearer ${key}" \\\n  -H "Content-Type: application/json" \\\n  -d '{"model": "${MODEL}", "messages": [{"role": "user", "content": "Hello!"}]}'`),
      ]],
    ],
  };
}

const words = (key, values) => () => el("p", { t: key, tValues: values });
const block = (copyKey, text) => () => codeBlock(text, copyKey);

export class Clients {
  constructor(panel) {
    this.groups = el("div");
    this.withKey = el("input", { type: "checkbox", id: "with-key" });
    this.withKey.addEventListener("change", () => this.show());
    const root = gatewayAddress();
    panel.append(el("div", { class: "page" },
      el("h2", { t: "clients_title" }),
      el("p", { class: "lead", t: "clients_text" }),
      el("div", { class: "addresses" }, addressRow("root_address", root), addressRow("v1_address", `${root}/v1`)),
      this.keyMaker(),
      el("label", { class: "check" }, this.withKey, el("span", { t: "key_shown" })),
      this.groups,
    ));
    this.show();
  }

  show() {
    const key = (this.withKey.checked && currentKey()) || PLACEHOLDER;
    const groups = Object.entries(clientsOf(gatewayAddress(), key));
    this.groups.replaceChildren(...groups.map(([name, clients]) => el("section", {}, el("h3", { class: "group", t: name }), el("div", { class: "clients" }, ...clients.map(clientCard)))));
  }

  /** After a disconnection, the page must not hold the key any more. */
  forget() {
    this.withKey.checked = false;
    this.show();
    this.made.hidden = true;
    this.key.value = "";
  }

  keyMaker() {
    this.key = el("input", { type: "text", readonly: true, id: "made-key", spellcheck: "false" });
    this.made = el("div", { class: "made", hidden: true }, el("label", { for: "made-key", class: "unseen", t: "key_made" }), this.key, copyButton("copy_key", () => this.key.value));
    const make = button("key_make", () => {
      this.key.value = `sk-${randomText(32)}`;
      this.made.hidden = false;
      this.key.select();
      announce("key_made");
    }, { class: "small" });
    return el("div", { class: "card maker" }, el("div", {}, el("h3", { t: "key_title" }), el("p", { class: "help", t: "key_text" })), make, this.made);
  }
}

const addressRow = (key, address) => el("div", { class: "address" }, el("span", { class: "address-name", t: key }), el("code", {}, address), copyButton("copy_address", () => address));

function clientCard([name, steps]) {
  const id = `client-${name.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return el("article", { class: "card client", "aria-labelledby": id }, el("h4", { id }, name), ...steps.map((make) => make()));
}
