// Asks one thing of the gateway with the AI SDK, and writes its answer as one line of JSON.
// Arguments: the base URL, the key, the provider, the task, the prompt, whether to stream, and an image in base64.
import { called, City, require, tools } from "./desk.mjs";

const { generateText, streamText, Output, isStepCount, tool } = require("ai");
const { createOpenAI } = require("@ai-sdk/openai");
const { createAnthropic } = require("@ai-sdk/anthropic");
const { createGoogleGenerativeAI } = require("@ai-sdk/google");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");

const [url, apiKey, provider, task, prompt, streamed, image] = process.argv.slice(2);
const baseURL = `${url}/v1`;
const providers = {
  responses: () => createOpenAI({ baseURL, apiKey })("glm-5.3"),
  chat: () => createOpenAI({ baseURL, apiKey }).chat("glm-5.3"),
  messages: () => createAnthropic({ baseURL, apiKey })("glm-5.3"),
  gemini: () => createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey })("glm-5.3"),
  compatible: () => {
    const options = { name: "gateway", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true };
    return createOpenAICompatible(options)("glm-5.3");
  },
};
const asked = {
  model: providers[provider](),
  maxRetries: 0,
  // Google's and OpenAI's endpoints give thoughts only if they are asked for.
  providerOptions: { google: { thinkingConfig: { includeThoughts: true } }, openai: { reasoningSummary: "auto" } },
};
if (image) {
  const content = [
    { type: "text", text: prompt },
    { type: "file", data: image, mediaType: "image/png" },
  ];
  asked.messages = [{ role: "user", content }];
} else asked.prompt = prompt;
if (task === "loop") {
  asked.stopWhen = isStepCount(20);
  asked.tools = Object.fromEntries(
    tools.map(({ name, description, parameters, run }) => [
      name,
      tool({ description, inputSchema: parameters, execute: run }),
    ]),
  );
}
if (task === "object") asked.output = Output.object({ schema: City });

const told = { called };
try {
  if (streamed === "true") {
    let failure;
    const result = streamText({ ...asked, onError: ({ error }) => (failure = error) });
    told.said = "";
    for await (const piece of result.textStream) told.said += piece;
    if (failure) throw failure;
    told.answer = await (task === "object" ? result.output : result.text);
    told.reasoning = await result.reasoningText;
    told.usage = await result.totalUsage;
  } else {
    const result = await generateText(asked);
    told.answer = task === "object" ? result.output : result.text;
    told.reasoning = result.reasoningText;
    told.usage = result.totalUsage;
  }
} catch (error) {
  told.error = { name: error.name, status: error.statusCode ?? null, message: error.message };
}
console.log(JSON.stringify(told));
