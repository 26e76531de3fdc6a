// Goes once around a tool loop at every door with its own official SDK: the
// model calls get_weather, is told the result, and answers in words.
// Usage: node tools.mjs URL MODEL. Prints one JSON object: for each door the
// call and the words.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const question = "What is the weather in Oslo?";
const result = "4 degrees and rain";
const description = "The weather of a city";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const out = {};

{
  const client = new OpenAI({ baseURL: url + "/v1", apiKey: "any", maxRetries: 0 });
  const tools = [{ type: "function", function: { name: "get_weather", description, parameters: schema } }];
  const messages = [{ role: "user", content: question }];
  const first = await client.chat.completions.create({ model, messages, tools });
  const call = first.choices[0].message.tool_calls[0];
  messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: result });
  const second = await client.chat.completions.create({ model, messages, tools });
  out.openai = { call: `${call.function.name} ${JSON.parse(call.function.arguments).city}`, words: second.choices[0].message.content };

  const runner = client.chat.completions.stream({ model, messages: [{ role: "user", content: question }], tools });
  const streamed = (await runner.finalChatCompletion()).choices[0].message.tool_calls[0];
  out.openaiStream = { call: `${streamed.function.name} ${JSON.parse(streamed.function.arguments).city}`, words: "-" };

  const fn = { type: "function", name: "get_weather", description, parameters: schema, strict: false };
  const one = await client.responses.create({ model, input: question, tools: [fn], store: false });
  const item = one.output.find((o) => o.type === "function_call");
  const two = await client.responses.create({
    model, tools: [fn], store: false,
    input: [{ role: "user", content: question }, ...one.output, { type: "function_call_output", call_id: item.call_id, output: result }],
  });
  out.responses = { call: `${item.name} ${JSON.parse(item.arguments).city}`, words: two.output_text };
}

{
  const client = new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0 });
  const tools = [{ name: "get_weather", description, input_schema: schema }];
  const messages = [{ role: "user", content: question }];
  const first = await client.messages.stream({ model, max_tokens: 100, messages, tools }).finalMessage();
  const call = first.content.find((b) => b.type === "tool_use");
  messages.push({ role: "assistant", content: first.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: result }] });
  const second = await client.messages.create({ model, max_tokens: 100, messages, tools });
  out.anthropic = { call: `${call.name} ${call.input.city}`, words: second.content[0].text };
}

{
  const client = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: url } });
  const config = { tools: [{ functionDeclarations: [{ name: "get_weather", description, parametersJsonSchema: schema }] }] };
  const contents = [{ role: "user", parts: [{ text: question }] }];
  const first = await client.models.generateContent({ model, contents, config });
  const call = first.functionCalls[0];
  contents.push(first.candidates[0].content, { role: "user", parts: [{ functionResponse: { id: call.id, name: call.name, response: { output: result } } }] });
  const second = await client.models.generateContent({ model, contents, config });
  out.gemini = { call: `${call.name} ${call.args.city}`, words: second.text };
}

{
  const client = new Ollama({ host: url });
  const tools = [{ type: "function", function: { name: "get_weather", description, parameters: schema } }];
  const messages = [{ role: "user", content: question }];
  const first = await client.chat({ model, messages, tools });
  const call = first.message.tool_calls[0];
  messages.push(first.message, { role: "tool", tool_name: call.function.name, content: result });
  const second = await client.chat({ model, messages, tools });
  out.ollama = { call: `${call.function.name} ${call.function.arguments.city}`, words: second.message.content };
}

console.log(JSON.stringify(out));
