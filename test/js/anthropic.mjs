// Anthropic's own SDK. What it prints is in kit.mjs.
import Anthropic, { AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import * as kit from "./kit.mjs";
import { check, equal, hello, model, speech, without } from "./kit.mjs";

const options = { baseURL: kit.url, apiKey: kit.key, maxRetries: 0 };
const client = new Anthropic(options);
const stranger = new Anthropic({ ...options, apiKey: "wrong" });
const Recipe = z.object({ title: z.string(), kind: z.enum(["soup", "cake"]), servings: z.int(), steps: z.array(z.string()) });

const user = (content) => [{ role: "user", content }];
const ask = (more, prompt = hello) => ({ model, max_tokens: 8000, messages: user(prompt), ...more });
const create = (more, prompt) => client.messages.create(ask(more, prompt));
const stream = (more, prompt) => client.messages.stream(ask(more, prompt));
const text = (m) => m.content.filter((b) => b.type === "text").map((b) => b.text).join("");
const tools = kit.tools.map(({ name, description, schema }) => ({ name, description, input_schema: schema }));
const uses = (m) => m.content.filter((b) => b.type === "tool_use");
const calls = (m) => uses(m).map((b) => ({ name: b.name, args: b.input }));
const results = (m, ...list) => ({ role: "user", content: uses(m).map((b, i) => ({ type: "tool_result", tool_use_id: b.id, content: list[i] })) });
const withPart = (source, type) => user([{ type, source }, { type: "text", text: "echo done" }]);

async function is(call, type, name) {
  const e = await kit.fails(call);
  check(e instanceof type, `${e.constructor.name}: ${e.message}`);
  equal([e.error.type, e.error.error.type], ["error", name]);
  return e;
}

await kit.drive("anthropic-js", "anthropic-messages", {
  async chat() {
    const m = await create();
    equal([m.type, m.role, m.content.length, text(m), m.stop_reason], ["message", "assistant", 1, speech, "end_turn"]);
  },
  async stream() {
    const run = stream();
    const list = [];
    run.on("text", (t) => list.push(t));
    const m = await run.finalMessage();
    kit.pieces(list);
    equal([text(m), m.stop_reason], [speech, "end_turn"]);
    const events = [];
    for await (const event of await create({ stream: true })) if (event.type !== "ping" && event.type !== events.at(-1)) events.push(event.type);
    equal(events, ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]);
  },
  async system() {
    for (const system of ["Be brief.", [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }]]) {
      const m = await create({ system });
      equal(text(m), speech);
      check(m.usage.input_tokens > 7, "the system prompt did not arrive");
    }
  },
  async multi_turn() {
    const m = await create({ messages: [...user("My name is Ada."), { role: "assistant", content: [{ type: "text", text: "Hello Ada." }] }, ...user("echo Ada")] });
    equal(text(m), "Ada");
    check(m.usage.input_tokens >= 16, "the earlier turns did not arrive");
  },
  async tool() {
    const m = await create({ tools }, kit.oslo);
    equal([calls(m), m.stop_reason], [kit.wanted.slice(0, 1), "tool_use"]);
    await kit.forced(async () => calls(await create({ tools, tool_choice: { type: "tool", name: "get_time" } })));
    if (kit.provider !== "local") equal(calls(await create({ tools, tool_choice: { type: "any" } })).length, 1);
    equal(calls(await create({ tools, tool_choice: { type: "none" } }, kit.oslo)), []);
  },
  async parallel_tools() {
    const m = await create({ tools }, kit.both);
    equal(calls(m), kit.wanted);
    equal(text(m).trim(), "Let me see.");
    check(uses(m)[0].id !== uses(m)[1].id, "two calls of one id");
    const end = await create({ tools, messages: [...user(kit.both), { role: "assistant", content: m.content }, results(m, kit.weather, "noon")] });
    equal(text(end), kit.toldBoth);
    equal(calls(await create({ tools, tool_choice: { type: "auto", disable_parallel_tool_use: true } }, kit.both)).length, 1);
  },
  async streamed_tools() {
    const run = stream({ tools }, kit.both);
    let json = "";
    run.on("inputJson", (piece) => { json += piece; });
    const m = await run.finalMessage();
    equal(calls(m), kit.wanted);
    equal(json.replace(/\s/g, ""), kit.wanted.map((c) => JSON.stringify(c.args)).join(""));
    const end = await create({ tools, messages: [...user(kit.both), { role: "assistant", content: m.content }, results(m, kit.weather, "noon")] });
    equal(text(end), kit.toldBoth);
  },
  async tool_loop() {
    for (const stream of [false, true]) {
      let call;
      const run = (args) => { call = { name: "get_weather", args }; return kit.weather; };
      const weather = betaZodTool({ name: "get_weather", description: "The weather of a city", inputSchema: z.object({ city: z.string() }), run });
      // It asks for a thread that Anthropic keeps. Told that there is none, it
      // sends the whole conversation; the simulated Claude does not tell so.
      const runner = client.beta.messages.toolRunner({
        ...ask({}, kit.loopPrompt), max_tokens: 200, tools: [weather], stream, ...(kit.provider === "claude" && { thread: false }),
      });
      const end = await runner.runUntilDone();
      kit.checkLoop(call, text(end));
    }
  },
  async tool_error() {
    const m = await create({ tools }, kit.oslo);
    const result = results(m, "no such city");
    result.content[0].is_error = true;
    equal(text(await create({ tools, messages: [...user(kit.oslo), { role: "assistant", content: m.content }, result] })), kit.failed);
  },
  async thinking() {
    const more = { model: kit.thinker, thinking: { type: "enabled", budget_tokens: 1024, display: "summarized" }, tools };
    const m = await create(more, `think about Oslo\n${kit.oslo}`);
    const shown = kit.provider !== "openai";
    if (shown) equal([m.content[0].type, m.content[0].thinking], ["thinking", "about Oslo"]);
    equal(calls(m), kit.wanted.slice(0, 1));
    const messages = [...user(`think about Oslo\n${kit.oslo}`), { role: "assistant", content: m.content }, results(m, kit.weather)];
    equal(text(await create({ ...more, messages })), kit.told);
    const run = stream(more, "think about the sea");
    let thought = "";
    run.on("thinking", (t) => { thought += t; });
    const end = await run.finalMessage();
    equal(text(end), speech);
    if (shown) equal([thought, end.content[0].thinking], ["about the sea", "about the sea"]);
  },
  async json_schema() {
    const format = { output_config: { format: zodOutputFormat(Recipe) } };
    equal((await client.messages.parse(ask(format))).parsed_output, kit.recipe);
    equal((await stream(format).finalMessage()).parsed_output, kit.recipe);
  },
  async image() {
    equal(text(await create({ messages: withPart({ type: "base64", media_type: "image/png", data: kit.png }, "image") })), kit.seen.image);
  },
  async document() {
    equal(text(await create({ messages: withPart({ type: "base64", media_type: "application/pdf", data: kit.pdf }, "document") })), kit.seen.document);
  },
  async stop() {
    const m = await create({ stop_sequences: ["STOP"] }, kit.stopPrompt);
    equal(text(m), kit.stopped);
    // The others do not say which sequence it was, or that it was one.
    if (kit.provider === "claude") equal([m.stop_reason, m.stop_sequence], ["stop_sequence", "STOP"]);
    else check(["stop_sequence", "end_turn"].includes(m.stop_reason), m.stop_reason);
  },
  async length() {
    const m = await create({ max_tokens: kit.limit });
    equal([text(m), m.stop_reason], [kit.cut, "max_tokens"]);
  },
  async usage() {
    const of = (u) => kit.tokens({ input: u.input_tokens, output: u.output_tokens });
    of((await create()).usage);
    of((await stream().finalMessage()).usage);
  },
  error_400: () => is(() => create({ max_tokens: "many" }), BadRequestError, "invalid_request_error"),
  error_401: () => is(() => stranger.messages.create(ask()), AuthenticationError, "authentication_error"),
  error_404: () => is(() => create({ model: "no-such-model" }), NotFoundError, "not_found_error"),
  async error_429() {
    for (const call of [() => create(), () => stream().finalMessage()]) {
      const e = await is(call, RateLimitError, "rate_limit_error");
      check(Number(e.headers.get("retry-after")) > 0, "no Retry-After");
    }
  },
  abort: () => kit.aborted(async function* (signal) {
    for await (const event of await client.messages.create(ask({ stream: true }, kit.long), { signal })) yield event.delta?.text;
  }),
  async models() {
    const list = [];
    for await (const m of client.models.list()) list.push(m);
    const ids = list.map((m) => m.id);
    check(ids.includes("auto") && ids.includes(model), `lists ${ids}`);
    check(list.every((m) => m.type === "model" && m.display_name), "models without names");
    equal((await client.models.retrieve(model)).id, model);
  },
  async count() {
    check((await client.messages.countTokens({ model, messages: user(hello), tools })).input_tokens > 7, "the tools are not counted");
  },
}, {
  ...without("the dialect does not take it", "audio", "n", "logprobs"),
  ...without("the dialect has structured output by schema only", "json_mode"),
  ...without("the API has none", "embeddings", "embeddings_batch"),
});
kit.done();
