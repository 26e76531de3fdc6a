// LangChain.js with its models for every dialect. What it prints is in kit.mjs.
import { ChatAnthropic } from "@langchain/anthropic";
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings } from "@langchain/google-genai";
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { createAgent, tool } from "langchain";
import { z } from "zod";
import * as kit from "./kit.mjs";
import { check, equal, hello, model, speech, without } from "./kit.mjs";

const Recipe = z.object({ title: z.string(), kind: z.enum(["soup", "cake"]), servings: z.int(), steps: z.array(z.string()) });
const City = z.object({ city: z.string() });
const user = (content) => [new HumanMessage(content)];
const named = (calls) => calls.map(({ name, args }) => ({ name, args }));
const results = (message, ...list) => message.tool_calls.map((c, i) => new ToolMessage({ content: list[i], name: c.name, tool_call_id: c.id }));

// said gives what came of tools, without the objects that Google's class wraps
// results in, and with the names that Ollama's leaves out.
function said({ text }) {
  return kit.plainly(text).replace("The tool  said: 4", "The tool get_weather said: 4").replace("The tool  said: noon", "The tool get_time said: noon");
}

// working gives the tools with what they do, and notes their calls.
function working() {
  const made = [];
  const results = { get_weather: kit.weather, get_time: "noon" };
  const tools = kit.tools.map(({ name, description }) =>
    tool((args) => {
      made.push({ name, args });
      return results[name];
    }, { name, description, schema: City }),
  );
  return { made, tools };
}

async function gather(stream) {
  let whole;
  const list = [];
  for await (const chunk of await stream) {
    whole = whole ? whole.concat(chunk) : chunk;
    list.push(chunk.text);
  }
  return { whole, list };
}

// features drives a class of models: open(more) makes one of its models.
function features({ open, hearer = kit.hearer, thinker = kit.thinker, reason, finish, stop, length, embeddings, forces = true, json, thought, image, document, audio, countsTwice, apart, recipe = Recipe, error = {} }) {
  const invoke = (messages = user(hello), more = {}, options = {}) => open(more).invoke(messages, options);
  const bound = (more = {}, choice) => open(more).bindTools(working().tools, choice && { tool_choice: choice });
  const is = async (call, status) => {
    const e = await kit.fails(call);
    equal(kit.status(e), status);
    if (error[status]) check([e.name, e.constructor.name].includes(error[status]), `${e.name} ${e.constructor.name}`);
    return e;
  };
  return {
    async chat() {
      const m = await invoke();
      equal([AIMessage.isInstance(m), m.text], [true, speech]);
      finish(m.response_metadata, "stop");
    },
    async stream() {
      const { whole, list } = await gather(open().stream(user(hello)));
      kit.pieces(list);
      equal(whole.text, speech);
    },
    async system() {
      const m = await invoke([new SystemMessage("Be brief."), ...user(hello)]);
      equal(m.text, speech);
      check(m.usage_metadata.input_tokens > 7, "the system message did not arrive");
    },
    async multi_turn() {
      const first = await invoke(user("echo Hello Ada."));
      const m = await invoke([...user("echo Hello Ada."), first, ...user("echo Ada")]);
      equal(m.text, "Ada");
      check(m.usage_metadata.input_tokens >= 15, "the earlier turns did not arrive");
    },
    async tool() {
      equal(named((await bound().invoke(user(kit.oslo))).tool_calls), kit.wanted.slice(0, 1));
      if (forces) await kit.forced(async () => named((await bound({}, "get_time").invoke(user(hello))).tool_calls));
    },
    async parallel_tools() {
      const m = await bound().invoke(user(kit.both));
      equal(named(m.tool_calls), kit.wanted);
      equal(m.text.trim(), "Let me see.");
      const end = await bound().invoke([...user(kit.both), m, ...results(m, kit.weather, "noon")]);
      equal(said(end), kit.toldBoth);
    },
    async streamed_tools() {
      const { whole } = await gather(bound().stream(user(kit.both)));
      equal(named(whole.tool_calls), kit.wanted);
      const end = await bound().invoke([...user(kit.both), whole, ...results(whole, kit.weather, "noon")]);
      equal(said(end), kit.toldBoth);
    },
    async tool_loop() {
      const { made, tools } = working();
      const agent = createAgent({ model: open(), tools: tools.slice(0, 1) });
      const { messages } = await agent.invoke({ messages: user(kit.loopPrompt) });
      kit.checkLoop(made.at(-1), said(messages.at(-1)));
      let words = "";
      for await (const [chunk, { langgraph_node: node }] of await agent.stream({ messages: user(kit.loopPrompt) }, { streamMode: "messages" })) {
        if (node === "model_request") words += chunk.text;
      }
      kit.checkLoop(made.at(-1), said({ text: words }));
    },
    async tool_error() {
      const m = await bound().invoke(user(kit.oslo));
      const [result] = results(m, "no such city");
      result.status = "error";
      equal(said(await bound().invoke([...user(kit.oslo), m, result])), kit.failed);
    },
    async thinking() {
      const more = { model: thinker, ...reason };
      const messages = user(`think about Oslo\n${kit.oslo}`);
      const m = await bound(more).invoke(messages);
      equal(named(m.tool_calls), kit.wanted.slice(0, 1));
      equal(said(await bound(more).invoke([...messages, m, ...results(m, kit.weather)])), kit.told);
      const { whole } = await gather(open(more).stream(user("think about the sea")));
      equal(whole.text, speech);
      if (!thought) return;
      equal(thought(m), "about Oslo");
      equal(thought(whole), "about the sea");
    },
    async json_schema() {
      equal(await open().withStructuredOutput(recipe, { name: "recipe", method: "jsonSchema" }).invoke(hello), recipe.parse(kit.recipe));
    },
    async json_mode() {
      const prompt = "Say something in JSON.";
      if (json) equal(JSON.parse((await invoke(user(prompt), json)).text), { answer: "text" });
      else equal(await open().withStructuredOutput(z.object({ answer: z.string() }), { method: "jsonMode" }).invoke(prompt), { answer: "text" });
    },
    async image() {
      const { text } = await invoke(user([{ type: "text", text: "echo done" }, image]));
      if (apart) check(text.startsWith(kit.seen.image.replace("done", "")), text);
      else equal(text, kit.seen.image);
    },
    async document() {
      equal((await invoke(user([{ type: "text", text: "echo done" }, document]))).text, kit.seen.document);
    },
    async audio() {
      equal((await invoke(user([{ type: "text", text: "echo done" }, audio]), { model: hearer })).text, kit.seen.audio);
    },
    async stop() {
      const [more, options] = stop;
      equal((await invoke(user(kit.stopPrompt), more, options)).text, kit.stopped);
    },
    async length() {
      const m = await invoke(user(hello), length);
      equal(m.text, kit.cut);
      finish(m.response_metadata, "length");
    },
    async n() {
      const { generations } = await open({ n: 2 }).generate([user(hello)]);
      equal(generations[0].map((g) => g.text), [speech, speech]);
    },
    async logprobs() {
      const m = await invoke(user(hello), { logprobs: true, topLogprobs: 2 });
      equal(m.response_metadata.logprobs.content.map((t) => t.token).join(""), speech);
    },
    async usage() {
      const of = (u) => kit.tokens({ input: u.input_tokens, output: u.output_tokens, total: u.total_tokens });
      of((await invoke()).usage_metadata);
      const streamed = (await gather(open().stream(user(hello)))).whole.usage_metadata;
      if (countsTwice) check(streamed.output_tokens > 40, `${streamed.output_tokens} tokens`);
      else of(streamed);
    },
    error_400: () => is(() => invoke(user(hello), { temperature: "hot" }), 400),
    error_401: () => is(() => invoke(user(hello), { apiKey: "wrong" }), 401),
    error_404: () => is(() => invoke(user(hello), { model: "no-such-model" }), 404),
    async error_429() {
      await is(() => invoke(), 429);
      await is(() => gather(open().stream(user(hello))), 429);
    },
    abort: () => kit.aborted(async function* (signal) {
      for await (const chunk of await open().stream(user(kit.long), { signal })) yield chunk.text;
    }),
    async embeddings() {
      const vector = await embeddings().embedQuery("a wave");
      kit.vector(vector);
      kit.vector(await embeddings({ dimensions: 4, outputDimensionality: 4 }).embedQuery("a wave"), 4);
    },
    async embeddings_batch() {
      const [wave, wall, ...rest] = await embeddings().embedDocuments(["a wave", "a wall"]);
      equal(rest, []);
      kit.vector(wave);
      check(JSON.stringify(wave) !== JSON.stringify(wall), "one vector for two texts");
      kit.same(await embeddings().embedQuery("a wall"), wall);
    },
  };
}

const base = { model, maxRetries: 0, apiKey: kit.key };
const configuration = { baseURL: kit.url + "/v1" };
const headers = (key) => ({ Authorization: `Bearer ${key}` });
const png = `data:image/png;base64,${kit.png}`;
const errors = { 401: "AuthenticationError", 404: "NotFoundError", 400: "BadRequestError", 429: "RateLimitError" };
const summary = (m) => m.additional_kwargs.reasoning?.summary?.map((s) => s.text).join("");
const thinking = (m) => m.content.filter((b) => b.type === "thinking").map((b) => b.thinking).join("");
const standard = (mime_type, data, type) => ({ type, source_type: "base64", mime_type, data, metadata: { filename: "a.pdf" } });

// The class for Google believes only models by Gemini's names to see images,
// and mistakes a slash in a name for a path: the test gives it names of its own.
// When a stream is aborted it leaves a rejection that nobody can handle.
process.on("unhandledRejection", (e) => {
  if (e.constructor.name !== "GoogleGenerativeAIError") throw e;
});

const never = without("the SDK has no way to ask for it", "models", "count");
await Promise.all([
  kit.drive("langchain-openai", "openai-chat", features({
    open: (more) => new ChatOpenAI({ ...base, configuration, useResponsesApi: false, ...more }),
    reason: { reasoning: { effort: "low" }, modelKwargs: { reasoning_effort: "low" } },
    finish: (m, how) => equal(m.finish_reason, how),
    stop: [{}, { stop: ["STOP"] }], length: { maxTokens: kit.limit }, error: errors,
    image: { type: "image_url", image_url: { url: png } },
    document: standard("application/pdf", kit.pdf, "file"), audio: standard("audio/wav", kit.wav, "audio"),
    embeddings: (more) => new OpenAIEmbeddings({ ...base, model: kit.embedder, configuration, ...more }),
  }), { ...never, ...without("the dialect has no mark for a result that is an error", "tool_error") }),
  kit.drive("langchain-openai", "openai-responses", features({
    open: (more) => new ChatOpenAI({ ...base, configuration, useResponsesApi: true, zdrEnabled: true, ...more }),
    reason: { reasoning: { effort: "low", summary: "auto" }, modelKwargs: { reasoning: { effort: "low", summary: "auto" }, include: ["reasoning.encrypted_content"] } },
    finish: (m, how) => equal(m.status, how === "stop" ? "completed" : "incomplete"),
    length: { maxTokens: kit.limit }, error: errors,
    // Of several items it keeps the last, which for Gemini is the signature of a call.
    thought: ["openai", "gemini"].includes(kit.provider) ? undefined : summary,
    image: { type: "image_url", image_url: { url: png } }, document: standard("application/pdf", kit.pdf, "file"),
  }), {
    ...never, ...without("the dialect has no mark for a result that is an error", "tool_error"),
    ...without("the dialect does not take it", "audio", "stop", "n"), ...without("the SDK has no way to ask for it", "logprobs"),
    ...without("of the API, not of the dialect: see openai-chat", "embeddings", "embeddings_batch"),
  }),
  kit.drive("langchain-anthropic", "anthropic-messages", features({
    open: (more) => new ChatAnthropic({ ...base, anthropicApiUrl: kit.url, maxTokens: 8000, ...more }),
    reason: { thinking: { type: "enabled", budget_tokens: 1024 } },
    finish: (m, how) => equal(m.stop_reason, how === "stop" ? "end_turn" : "max_tokens"),
    stop: [{ stopSequences: ["STOP"] }], length: { maxTokens: kit.limit }, error: errors, thought: kit.provider === "openai" ? undefined : thinking,
    countsTwice: true, // it adds up what a stream says first and last, and believes the input of the first only
    recipe: Recipe.omit({ kind: true }), // it makes a description of what is enumerated
    image: { type: "image_url", image_url: { url: png } },
    document: { type: "document", source: { type: "base64", media_type: "application/pdf", data: kit.pdf } },
  }), {
    ...never, ...without("the SDK does not mark a result that is an error", "tool_error"),
    ...without("the dialect does not take it", "audio", "n", "logprobs", "json_mode"), ...without("the API has none", "embeddings", "embeddings_batch"),
  }),
  kit.drive("langchain-google", "gemini-generate", features({
    open: (more) => new ChatGoogleGenerativeAI({ ...base, model: `gemini-2-${kit.provider}`, baseUrl: kit.url, ...more }),
    reason: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } }, json: { json: true }, hearer: `gemini-2-hears-${kit.provider}`, thinker: `gemini-2-thinks-${kit.provider}`,
    finish: (m, how) => equal(m.finishReason, how === "stop" ? "STOP" : "MAX_TOKENS"),
    stop: [{ stopSequences: ["STOP"] }], length: { maxOutputTokens: kit.limit },
    thought: kit.provider === "openai" ? undefined : thinking,
    image: { type: "image_url", image_url: png }, document: standard("application/pdf", kit.pdf, "file"), audio: standard("audio/wav", kit.wav, "audio"),
    embeddings: (more) => new GoogleGenerativeAIEmbeddings({ ...base, model: `embed-${kit.provider}`, baseUrl: kit.url, ...more }),
  }), {
    ...never, ...without("the SDK has no way to ask for it", "n", "logprobs"),
    ...(kit.provider === "claude" && without("the SDK hides that it was refused", "embeddings_batch")),
    ...(kit.provider === "gemini" && without("the SDK sends the results of parallel calls apart, which Gemini refuses", "parallel_tools", "streamed_tools")),
  }),
  kit.drive("langchain-ollama", "ollama-chat", features({
    open: ({ apiKey = kit.key, ...more } = {}) => new ChatOllama({ model, maxRetries: 0, baseUrl: kit.url, headers: headers(apiKey), ...more }),
    reason: { think: true }, forces: false,
    finish: (m, how) => equal(m.done_reason, how),
    stop: [{}, { stop: ["STOP"] }], length: { numPredict: kit.limit },
    thought: kit.provider === "openai" ? undefined : (m) => m.additional_kwargs.reasoning_content,
    image: { type: "image_url", image_url: png }, apart: true, // images are messages of their own
    embeddings: (more) => new OllamaEmbeddings({ model: kit.embedder, maxRetries: 0, baseUrl: kit.url, headers: headers(kit.key), ...more }),
  }), {
    ...never, ...without("the dialect does not take it", "document", "audio", "n"), ...without("the SDK has no way to ask for it", "logprobs"),
    ...without("the dialect has no mark for a result that is an error", "tool_error"),
  }),
]);
kit.done();
