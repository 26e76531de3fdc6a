// Completes a chat, a stream, a list of models and an error with the official
// OpenAI SDK. Usage: node openai.mjs BASE_URL MODEL. Prints one JSON object.
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Say something." },
];

const { data: chat, response } = await client.chat.completions
  .create({ model, messages })
  .withResponse();

let streamed = "";
let finish = null;
let usage = null;
const stream = await client.chat.completions.create({
  model,
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
  usage = chunk.usage ?? usage;
}

const models = [];
for await (const m of client.models.list()) models.push(m.id);

let error = null;
try {
  await client.chat.completions.create({ model: "no-such-model", messages });
} catch (e) {
  error = { name: e.constructor.name, status: e.status, code: e.code };
}

console.log(
  JSON.stringify({
    text: chat.choices[0].message.content,
    chatFinish: chat.choices[0].finish_reason,
    chatUsage: chat.usage,
    provider: response.headers.get("x-breakwater-provider"),
    streamed,
    finish,
    usage,
    models,
    error,
  }),
);
