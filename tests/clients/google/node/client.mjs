// Asks one thing of the gateway and writes, as one line of JSON, what Google's SDK made of the answer.
// Arguments: the base URL, the key, the version of the API, how (generate, stream, count or chat), the request as JSON.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENTS_NODE}/`);
const { GoogleGenAI } = require("@google/genai");

const [baseUrl, apiKey, apiVersion, how, request] = process.argv.slice(2);
const sdk = new GoogleGenAI({ apiKey, apiVersion, httpOptions: { baseUrl } });
const body = JSON.parse(request);
const told = {};
try {
  if (how === "generate") {
    const answer = await sdk.models.generateContent(body);
    Object.assign(told, { text: answer.text, calls: answer.functionCalls, candidate: answer.candidates[0] });
  } else if (how === "count") {
    told.count = (await sdk.models.countTokens(body)).totalTokens;
  } else if (how === "list") {
    told.names = [];
    for await (const model of await sdk.models.list()) told.names.push(model.name);
  } else if (how === "chat") {
    const chat = sdk.chats.create({ model: body.model });
    for await (const _ of await chat.sendMessageStream({ message: body.contents }));
    told.history = chat.getHistory(true);
  } else {
    told.text = "";
    for await (const chunk of await sdk.models.generateContentStream(body)) {
      told.text += chunk.text ?? "";
      told.finishReason = chunk.candidates[0].finishReason;
      told.calls = chunk.functionCalls ?? told.calls;
    }
  }
} catch (error) {
  told.error = { name: error.constructor.name, status: error.status ?? null, message: error.message };
}
console.log(JSON.stringify(told));
