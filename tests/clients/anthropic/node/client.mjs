// Asks one thing of the gateway and writes, as one line of JSON, what Anthropic's SDK made of the answer.
// Arguments: the base URL, the key, how (create, stream or raw), the request as JSON.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENTS_NODE}/`);
const Anthropic = require("@anthropic-ai/sdk").default;

const [baseURL, apiKey, how, request] = process.argv.slice(2);
const sdk = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const body = JSON.parse(request);
const told = {};
try {
  if (how === "create") {
    told.message = await sdk.messages.create(body);
  } else if (how === "stream") {
    told.text = "";
    const stream = sdk.messages.stream(body).on("text", (text) => (told.text += text));
    told.message = await stream.finalMessage();
  } else {
    told.types = [];
    for await (const event of await sdk.messages.create({ ...body, stream: true })) told.types.push(event.type);
  }
} catch (error) {
  told.error = { name: error.constructor.name, status: error.status ?? null, body: error.error ?? null };
}
console.log(JSON.stringify(told));
