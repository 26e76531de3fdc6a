// Vercel's AI SDK with its providers for every dialect. What it prints is in
// kit.mjs.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogle } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embed, embedMany, generateText, jsonSchema, Output, isStepCount, streamText, tool, ToolLoopAgent } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { z } from "zod";
import * as kit from "./kit.mjs";
import { check, equal, hello, model, plainly, speech, without } from "./kit.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false; // it knows no model by the name of a provider

const bearer = (key) => ({ headers: { Authorization: `Bearer ${key}` } });
const openai = (key, more) => createOpenAI({ baseURL: kit.url + "/v1", apiKey: key, ...more });
const anthropic = (key, more) => createAnthropic({ baseURL: kit.url + "/v1", apiKey: key, ...more });
const google = (key, more) => createGoogle({ baseURL: kit.url + "/v1beta", apiKey: key, ...more });
const ollama = (key, more) => createOllama({ baseURL: kit.url + "/api", ...bearer(key), ...more });

const Recipe = z.object({ title: z.string(), kind: z.enum(["soup", "cake"]), servings: z.int(), steps: z.array(z.string()) });
const offered = Object.fromEntries(kit.tools.map((t) => [t.name, tool({ description: t.description, inputSchema: jsonSchema(t.schema) })]));
const calls = (result) => result.toolCalls.map(({ toolName, input }) => ({ name: toolName, args: input }));
const part = (mediaType, data) => ({ messages: [{ role: "user", content: [{ type: "text", text: "echo done" }, { type: "file", mediaType, data }] }] });

// working gives the tools with what they do, and notes their calls.
function working() {
  const made = [];
  const results = { get_weather: kit.weather, get_time: "noon" };
  const tools = Object.fromEntries(
    kit.tools.map(({ name, description, schema }) => [name, tool({
      description,
      inputSchema: jsonSchema(schema),
      execute: (args) => {
        made.push({ name, args });
        return results[name];
      },
    })]),
  );
  return { made, tools };
}

// broken puts something wrong into the bodies, which the SDK itself does not.
const broken = (right, wrong) => ({ fetch: (url, init) => fetch(url, { ...init, body: init.body.replace(right, wrong) }) });

function features({ make, embedding, dimensions, hearer = kit.hearer, thinker = kit.thinker, forces = true, thinks = true, understood = true, told = true, logprobs, wrong = ['"temperature":0.25', '"temperature":"hot"'] }) {
  const of = (more) => ({ model: make(kit.key)(model), maxRetries: 0, ...(more.messages ? {} : { prompt: hello }), ...more });
  const generate = (more = {}) => generateText(of(more));
  // stream gives the result of a stream, and throws what went wrong in it.
  const stream = (more = {}) => {
    let problem;
    const result = streamText({ ...of(more), onError: ({ error }) => { problem = error; } });
    result.pieces = async function* () {
      yield* result.textStream;
      if (problem) throw problem;
    };
    return result;
  };
  const is = async (call, status) => {
    const e = await kit.fails(call);
    check(APICallError.isInstance(e), `${e.name}: ${e.message}`);
    equal(e.statusCode, status);
    check(e.message !== "", "no message");
    if (understood) check(e.data !== undefined, "the error's body is not understood");
    return e;
  };

  return {
    async chat() {
      const result = await generate();
      equal([result.text, result.finishReason], [speech, "stop"]);
    },
    async stream() {
      const result = stream();
      const list = [];
      for await (const piece of result.pieces()) list.push(piece);
      kit.pieces(list);
      equal(await result.finishReason, "stop");
    },
    async system() {
      const result = await generate({ instructions: "Be brief." });
      equal(result.text, speech);
      check(result.usage.inputTokens > 7, "the instructions did not arrive");
    },
    async multi_turn() {
      const first = await generate({ prompt: "echo Hello Ada." });
      const { messages } = first.response;
      const result = await generate({ messages: [{ role: "user", content: "echo Hello Ada." }, ...messages, { role: "user", content: "echo Ada" }] });
      equal(result.text, "Ada");
      if (told) check(result.usage.inputTokens >= 15, "the earlier turns did not arrive");
    },
    async tool() {
      const result = await generate({ tools: offered, prompt: kit.oslo });
      equal([calls(result), result.finishReason], [kit.wanted.slice(0, 1), "tool-calls"]);
      if (!forces) return;
      await kit.forced(async () => calls(await generate({ tools: offered, toolChoice: { type: "tool", toolName: "get_time" } })));
      equal(calls(await generate({ tools: offered, toolChoice: "none", prompt: kit.oslo })), []);
    },
    async parallel_tools() {
      const { made, tools } = working();
      const result = await generate({ tools, prompt: kit.both, stopWhen: isStepCount(5) });
      equal([made, result.steps.length, plainly(result.text)], [kit.wanted, 2, kit.toldBoth]);
      equal(result.steps[0].text.trim(), "Let me see.");
    },
    async streamed_tools() {
      const { made, tools } = working();
      const result = stream({ tools, prompt: kit.both, stopWhen: isStepCount(5) });
      let text = "";
      for await (const piece of result.pieces()) text += piece;
      equal(made, kit.wanted);
      equal(plainly(text).replace("Let me see.", "").trim(), kit.toldBoth);
      equal((await result.steps).map((s) => s.finishReason), ["tool-calls", "stop"]);
    },
    async tool_loop() {
      const { made, tools } = working();
      const agent = new ToolLoopAgent({ model: make(kit.key)(model), tools: { get_weather: tools.get_weather }, maxRetries: 0, stopWhen: isStepCount(5) });
      const { text } = await agent.generate({ prompt: kit.loopPrompt });
      kit.checkLoop(made.at(-1), plainly(text));
      const result = await agent.stream({ prompt: kit.loopPrompt });
      let streamed = "";
      for await (const piece of result.textStream) streamed += piece;
      kit.checkLoop(made.at(-1), plainly(streamed));
    },
    async tool_error() {
      const tools = { get_weather: tool({ inputSchema: jsonSchema(kit.tools[0].schema), execute: () => { throw new Error("no such city"); } }) };
      equal((await generate({ tools, prompt: kit.oslo, stopWhen: isStepCount(5) })).text, kit.failed.replace("no such", "Error: no such"));
    },
    async thinking() {
      const { made, tools } = working();
      const more = { model: make(kit.key)(thinker), reasoning: "low", tools, stopWhen: isStepCount(5), providerOptions: { openai: { forceReasoning: true, reasoningSummary: "auto" }, google: { thinkingConfig: { includeThoughts: true } } } };
      const result = await generate({ ...more, prompt: `think about Oslo\n${kit.oslo}` });
      equal([made, plainly(result.text)], [kit.wanted.slice(0, 1), kit.told]);
      const streamed = stream({ ...more, prompt: "think about the sea" });
      let text = "";
      for await (const piece of streamed.pieces()) text += piece;
      equal(text, speech);
      if (!thinks) return;
      equal(result.steps[0].reasoningText, "about Oslo");
      equal(await streamed.reasoningText, "about the sea");
    },
    async json_schema() {
      // By default the provider for Claude makes a tool of the schema.
      const more = { output: Output.object({ schema: Recipe }), providerOptions: { anthropic: { structuredOutputMode: "outputFormat" } } };
      equal((await generate(more)).output, kit.recipe);
      let last;
      for await (const partial of stream(more).partialOutputStream) last = partial;
      equal(last, kit.recipe);
    },
    async json_mode() {
      equal((await generate({ output: Output.json(), prompt: "Say something in JSON." })).output, { answer: "text" });
    },
    async image() {
      equal((await generate(part("image/png", kit.png))).text, kit.seen.image);
    },
    async document() {
      equal((await generate(part("application/pdf", kit.pdf))).text, kit.seen.document);
    },
    async audio() {
      equal((await generate({ ...part("audio/wav", kit.wav), model: make(kit.key)(hearer) })).text, kit.seen.audio);
    },
    async stop() {
      const result = await generate({ prompt: kit.stopPrompt, stopSequences: ["STOP"] });
      equal([result.text.trimEnd(), result.finishReason], [kit.stopped.trimEnd(), "stop"]);
    },
    async length() {
      const result = await generate({ maxOutputTokens: kit.limit });
      equal([result.text.trimEnd(), result.finishReason], [kit.cut.trimEnd(), "length"]);
    },
    async logprobs() {
      const { providerMetadata } = await generate({ providerOptions: { openai: { logprobs: 2 } } });
      equal(logprobs(providerMetadata.openai.logprobs).map((t) => t.token).join(""), speech);
    },
    async usage() {
      const tokens = (u) => kit.tokens({ input: u.inputTokens, output: u.outputTokens, total: u.totalTokens });
      tokens((await generate()).usage);
      const result = stream();
      for await (const _ of result.pieces());
      tokens(await result.usage);
    },
    error_400: () => is(() => generate({ model: make(kit.key, broken(...wrong))(model), temperature: 0.25 }), 400),
    error_401: () => is(() => generate({ model: make("wrong")(model) }), 401),
    error_404: () => is(() => generate({ model: make(kit.key)("no-such-model") }), 404),
    async error_429() {
      const all = async () => { for await (const _ of stream().pieces()); };
      for (const call of [generate, all]) {
        const e = await is(call, 429);
        check(e.isRetryable && Number(e.responseHeaders["retry-after"]) > 0, "does not say when to retry");
      }
    },
    abort: () => kit.aborted((abortSignal) => stream({ prompt: kit.long, abortSignal }).pieces()),
    async embeddings() {
      const m = embedding(kit.key)(kit.embedder);
      kit.vector((await embed({ model: m, value: "a wave", maxRetries: 0 })).embedding);
      kit.vector((await embed({ model: m, value: "a wave", maxRetries: 0, providerOptions: dimensions })).embedding, 4);
    },
    async embeddings_batch() {
      const m = embedding(kit.key)(kit.embedder);
      const { embeddings: [wave, wall, ...rest] } = await embedMany({ model: m, values: ["a wave", "a wall"], maxRetries: 0 });
      equal(rest, []);
      check(JSON.stringify(wave) !== JSON.stringify(wall), "one vector for two texts");
      kit.same((await embed({ model: m, value: "a wall", maxRetries: 0 })).embedding, wall);
    },
  };
}

const never = without("the SDK has no way to ask for it", "n", "models", "count");
const unmarked = without("the SDK does not mark a result that is an error", "tool_error");

await Promise.all([
  kit.drive("ai-openai", "openai-chat", features({
    make: (...of) => openai(...of).chat, embedding: (key) => openai(key).embedding, dimensions: { openai: { dimensions: 4 } },
    thinks: false, logprobs: (l) => l,
  }), { ...never, ...unmarked }),
  kit.drive("ai-openai", "openai-responses", features({
    make: (...of) => openai(...of).responses, thinks: kit.provider !== "openai", logprobs: (l) => l.flat(),
    told: kit.provider !== "openai", // it only refers to what OpenAI keeps
  }), { ...never, ...unmarked, ...without("the dialect does not take it", "audio", "stop"),
    ...without("of the API, not of the dialect: see openai-chat", "embeddings", "embeddings_batch") }),
  kit.drive("ai-anthropic", "anthropic-messages", features({
    make: (...of) => anthropic(...of), thinks: kit.provider !== "openai",
  }), {
    ...never, ...without("the dialect does not take it", "audio", "logprobs", "json_mode"),
    ...without("the API has none", "embeddings", "embeddings_batch"),
  }),
  kit.drive("ai-google", "gemini-generate", features({
    make: (...of) => google(...of), embedding: (key) => google(key).embedding, dimensions: { google: { outputDimensionality: 4 } },
    thinks: kit.provider !== "openai", hearer: `models/${kit.hearer}`, thinker: `models/${kit.thinker}`,
  }), { ...never, ...unmarked, ...without("the SDK has no way to ask for it", "logprobs") }),
  kit.drive("ai-ollama", "ollama-chat", features({
    make: (...of) => ollama(...of), embedding: (key) => ollama(key).embedding, dimensions: { ollama: { dimensions: 4 } },
    thinks: kit.provider !== "openai", forces: false, understood: false, wrong: ['"stream":false', '"stream":"no"'], // it expects OpenAI's errors of Ollama, too
  }), { ...never, ...unmarked, ...without("the dialect does not take it", "document", "audio"), ...without("the SDK has no way to ask for it", "logprobs"),
    ...without("the SDK does not say it in Ollama's words", "stop", "length") }),
]);
kit.done();
