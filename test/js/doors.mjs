// Completes a chat, a stream and an error at every door with its own official
// SDK. Usage: node doors.mjs URL MODEL. Prints one JSON object.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const prompt = "Say something.";
const out = {};

const anthropic = new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0 });
{
  const message = { model, max_tokens: 200, messages: [{ role: "user", content: prompt }] };
  const whole = await anthropic.messages.create(message);
  const stream = anthropic.messages.stream(message);
  const last = await stream.finalMessage();
  const count = await anthropic.messages.countTokens({ model, messages: message.messages });
  let error;
  try {
    await anthropic.messages.create({ ...message, model: "no-such-model" });
  } catch (e) {
    error = `${e.constructor.name} ${e.status}`;
  }
  const models = [];
  for await (const m of anthropic.models.list()) models.push(m.id);
  out.anthropic = {
    text: whole.content[0].text, stop: whole.stop_reason, tokens: whole.usage.output_tokens,
    streamed: last.content[0].text, streamStop: last.stop_reason, streamTokens: last.usage.output_tokens,
    error, models, count: count.input_tokens,
  };
}

for (const version of ["v1", "v1beta"]) {
  const google = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: url, apiVersion: version } });
  const whole = await google.models.generateContent({ model, contents: prompt });
  let streamed = "";
  let last;
  for await (const chunk of await google.models.generateContentStream({ model, contents: prompt })) {
    streamed += chunk.text ?? "";
    last = chunk;
  }
  const count = await google.models.countTokens({ model, contents: prompt });
  let error;
  try {
    await google.models.generateContent({ model: "no-such-model", contents: prompt });
  } catch (e) {
    error = `${e.constructor.name} ${e.status}`;
  }
  const models = [];
  for await (const m of await google.models.list()) models.push(m.name.replace("models/", ""));
  out["gemini " + version] = {
    text: whole.text, stop: whole.candidates[0].finishReason, tokens: whole.usageMetadata.candidatesTokenCount,
    streamed, streamStop: last.candidates[0].finishReason, streamTokens: last.usageMetadata.candidatesTokenCount,
    error, models, count: count.totalTokens,
  };
}

const ollama = new Ollama({ host: url });
{
  const messages = [{ role: "user", content: prompt }];
  const whole = await ollama.chat({ model, messages });
  let streamed = "";
  let last;
  for await (const line of await ollama.chat({ model, messages, stream: true })) {
    streamed += line.message.content;
    last = line;
  }
  const generated = await ollama.generate({ model, prompt });
  let error;
  try {
    await ollama.chat({ model: "no-such-model", messages });
  } catch (e) {
    error = `${e.name} ${e.status_code}`;
  }
  out.ollama = {
    text: whole.message.content, stop: whole.done_reason, tokens: whole.eval_count,
    streamed, streamStop: last.done_reason, streamTokens: last.eval_count,
    generated: generated.response, error, models: (await ollama.list()).models.map((m) => m.name),
  };
}

const openai = new OpenAI({ baseURL: url + "/v1", apiKey: "any", maxRetries: 0 });
{
  const whole = await openai.responses.create({ model, input: prompt, store: false });
  let streamed = "";
  let last;
  for await (const event of await openai.responses.create({ model, input: prompt, store: false, stream: true })) {
    if (event.type === "response.output_text.delta") streamed += event.delta;
    if (event.type === "response.completed") last = event.response;
  }
  const legacy = await openai.completions.create({ model, prompt });
  let error;
  try {
    await openai.responses.create({ model: "no-such-model", input: prompt });
  } catch (e) {
    error = `${e.constructor.name} ${e.status}`;
  }
  out.responses = {
    text: whole.output_text, stop: whole.status, tokens: whole.usage.output_tokens,
    streamed, streamStop: last.status, streamTokens: last.usage.output_tokens,
    generated: legacy.choices[0].text, error,
  };
}

console.log(JSON.stringify(out));
