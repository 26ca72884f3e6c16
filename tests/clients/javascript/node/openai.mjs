// Asks one thing of the gateway with OpenAI's SDK, and writes its answer as one line of JSON.
// Arguments: the base URL, the key, the API (chat or responses), the task, the prompt, whether to stream, and an image
// in base64.
import { called, City, require, tools } from "./desk.mjs";

const OpenAI = require("openai");
const { zodResponseFormat, zodTextFormat } = require("openai/helpers/zod");

const [baseURL, apiKey, api, task, prompt, streamed, image] = process.argv.slice(2);
const sdk = new OpenAI.OpenAI({ baseURL: `${baseURL}/v1`, apiKey, maxRetries: 0 });
const model = "glm-5.3";
const stream = streamed === "true";
const image_url = image && `data:image/png;base64,${image}`;
const told = { called };

const chat = {
  async text() {
    const parts = [
      { type: "text", text: prompt },
      { type: "image_url", image_url: { url: image_url } },
    ];
    const body = { model, messages: [{ role: "user", content: image ? parts : prompt }] };
    if (stream) return (await sdk.chat.completions.stream(body).finalMessage()).content;
    const { message } = (await sdk.chat.completions.create(body)).choices[0];
    told.reasoning = message.reasoning_content;
    return message.content;
  },
  async loop() {
    const functions = tools.map(({ name, description, parameters, run }) => ({
      type: "function",
      function: { name, description, parameters: parameters.toJSONSchema(), parse: JSON.parse, function: run },
    }));
    const body = { model, messages: [{ role: "user", content: prompt }], tools: functions, stream };
    return sdk.chat.completions.runTools(body, { maxChatCompletions: 20 }).finalContent();
  },
  async object() {
    const format = zodResponseFormat(City, "city");
    const body = { model, messages: [{ role: "user", content: prompt }], response_format: format };
    if (!stream) return (await sdk.chat.completions.parse(body)).choices[0].message.parsed;
    return (await sdk.chat.completions.stream(body).finalMessage()).parsed;
  },
};

// A stream that fails ends with a response that says so; the SDK does not throw.
const ask = async (body) => {
  const answer = await (stream ? sdk.responses.stream(body).finalResponse() : sdk.responses.parse(body));
  if (answer.status !== "completed") throw new Error(`${answer.status}: ${answer.error?.message}`);
  return answer;
};
const responses = {
  async text() {
    const parts = [
      { type: "input_text", text: prompt },
      { type: "input_image", image_url, detail: "auto" },
    ];
    const answer = await ask({ model, input: [{ role: "user", content: image ? parts : prompt }] });
    const thoughts = answer.output.filter((item) => item.type === "reasoning");
    told.reasoning = thoughts.flatMap((item) => item.summary.map(({ text }) => text)).join("");
    return answer.output_text;
  },
  async loop() {
    const functions = tools.map(({ name, description, parameters }) => ({
      type: "function",
      name,
      description,
      parameters: parameters.toJSONSchema(),
      strict: true,
    }));
    const input = [{ role: "user", content: prompt }];
    for (let turn = 0; turn < 20; turn++) {
      const answer = await ask({ model, input, tools: functions });
      const calls = answer.output.filter((item) => item.type === "function_call");
      if (!calls.length) return answer.output_text;
      // The helpers add a field to the calls that the API does not know.
      input.push(...answer.output.map(({ parsed_arguments: _, ...item }) => item));
      for (const { call_id, name, arguments: given } of calls) {
        const output = await tools.find((tool) => tool.name === name).run(JSON.parse(given));
        input.push({ type: "function_call_output", call_id, output });
      }
    }
    throw new Error("the loop does not end");
  },
  async object() {
    return (await ask({ model, input: prompt, text: { format: zodTextFormat(City, "city") } })).output_parsed;
  },
};

try {
  told.answer = await { chat, responses }[api][task]();
} catch (error) {
  told.error = { name: error.constructor.name, status: error.status ?? null, message: error.message };
}
console.log(JSON.stringify(told));
