// OpenAI's own SDK at the doors for Chat Completions, Responses and the older
// completions. What it prints is in kit.mjs.
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import { ResponsesToolRunner } from "openai/helpers/responses-tool-runner";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import * as kit from "./kit.mjs";
import { check, equal, hello, model, speech, without } from "./kit.mjs";

const options = { baseURL: kit.url + "/v1", apiKey: kit.key, maxRetries: 0 };
const client = new OpenAI(options);
const stranger = new OpenAI({ ...options, apiKey: "wrong" });
const Recipe = z.object({ title: z.string(), kind: z.enum(["soup", "cake"]), servings: z.int(), steps: z.array(z.string()) });

const user = (content) => [{ role: "user", content }];
const create = (more, prompt = hello) => client.chat.completions.create({ model, messages: user(prompt), ...more });
const first = (chat) => chat.choices[0].message;
const functions = kit.tools.map(({ name, description, schema }) => ({ type: "function", function: { name, description, parameters: schema } }));
const calls = (message) => (message.tool_calls ?? []).map((c) => ({ name: c.function.name, args: JSON.parse(c.function.arguments) }));
const answers = (message, ...results) => message.tool_calls.map((c, i) => ({ role: "tool", tool_call_id: c.id, content: results[i] }));

async function is(error, type, code, param) {
  const e = await kit.fails(error);
  check(e instanceof type, `${e.constructor.name}: ${e.message}`);
  if (code) equal(e.code, code);
  if (param) equal(e.param, param);
  return e;
}

async function limited(call) {
  const e = await is(call, RateLimitError);
  equal(e.status, 429);
  check(Number(e.headers.get("retry-after")) > 0, "no Retry-After");
}

// OpenAI shows no thoughts here, and Gemini only those that were asked for.
const shown = (thought) => (["openai", "gemini"].includes(kit.provider) ? "" : thought);

const chat = {
  async chat() {
    const { data, response } = await create().withResponse();
    equal([first(data).content, data.choices[0].finish_reason, data.object], [speech, "stop", "chat.completion"]);
    equal(response.headers.get("x-breakwater-provider"), kit.provider);
  },
  async stream() {
    const list = [];
    let finish;
    for await (const chunk of await create({ stream: true })) {
      equal(chunk.object, "chat.completion.chunk");
      list.push(chunk.choices[0]?.delta.content ?? "");
      finish ??= chunk.choices[0]?.finish_reason ?? undefined;
    }
    kit.pieces(list);
    equal(finish, "stop");
  },
  async system() {
    for (const role of ["system", "developer"]) {
      const chat = await create({ messages: [{ role, content: "Be brief." }, ...user(hello)] });
      equal(first(chat).content, speech);
      check(chat.usage.prompt_tokens > 7, `the ${role}'s message did not arrive`);
    }
  },
  async multi_turn() {
    const chat = await create({ messages: [...user("My name is Ada."), { role: "assistant", content: "Hello Ada." }, ...user("echo Ada")] });
    equal(first(chat).content, "Ada");
    check(chat.usage.prompt_tokens >= 16, "the earlier turns did not arrive");
  },
  async tool() {
    const chat = await create({ tools: functions }, kit.oslo);
    equal(calls(first(chat)), kit.wanted.slice(0, 1));
    equal(chat.choices[0].finish_reason, "tool_calls");
    await kit.forced(async () => calls(first(await create({ tools: functions, tool_choice: { type: "function", function: { name: "get_time" } } }))));
    equal(first(await create({ tools: functions, tool_choice: "none" }, kit.oslo)).tool_calls ?? [], []);
  },
  async parallel_tools() {
    const chat = await create({ tools: functions }, kit.both);
    const message = first(chat);
    equal(calls(message), kit.wanted);
    equal(message.content.trim(), "Let me see.");
    check(message.tool_calls[0].id !== message.tool_calls[1].id, "two calls of one id");
    const end = await create({ tools: functions, messages: [...user(kit.both), message, ...answers(message, kit.weather, "noon")] });
    equal(first(end).content, kit.toldBoth);
  },
  async streamed_tools() {
    const run = client.chat.completions.stream({ model, messages: user(kit.both), tools: functions });
    const done = [];
    run.on("tool_calls.function.arguments.done", (e) => done.push({ name: e.name, args: JSON.parse(e.arguments) }));
    const { parsed, ...message } = first(await run.finalChatCompletion()); // the SDK's own addition
    equal(calls(message), kit.wanted);
    equal(done, kit.wanted);
    const end = await create({ tools: functions, messages: [...user(kit.both), message, ...answers(message, kit.weather, "noon")] });
    equal(first(end).content, kit.toldBoth);
  },
  async tool_loop() {
    for (const stream of [false, true]) {
      let call;
      const run = client.chat.completions.runTools({
        model, stream, messages: user(kit.loopPrompt),
        tools: [{ type: "function", function: {
          ...functions[0].function,
          parse: JSON.parse,
          function: (args) => { call = { name: "get_weather", args }; return kit.weather; },
        } }],
      });
      const words = await run.finalContent();
      kit.checkLoop(call, words);
    }
  },
  async thinking() {
    const more = { model: kit.thinker, reasoning_effort: "low", tools: functions };
    const messages = user(`think about Oslo\n${kit.oslo}`);
    const chat = await create({ ...more, messages });
    equal(calls(first(chat)), kit.wanted.slice(0, 1));
    if (kit.provider === "openai") check(chat.usage.completion_tokens_details.reasoning_tokens > 0, "no reasoning tokens");
    equal(first(chat).reasoning_content ?? "", shown("about Oslo"));
    messages.push(first(chat), ...answers(first(chat), kit.weather));
    equal(first(await create({ ...more, messages })).content, kit.told);
    const list = [];
    for await (const chunk of await create({ ...more, stream: true }, "think about the sea")) list.push(chunk.choices[0]?.delta.reasoning_content ?? "");
    equal(list.join(""), shown("about the sea"));
  },
  async json_schema() {
    const chat = await client.chat.completions.parse({ model, messages: user(hello), response_format: zodResponseFormat(Recipe, "recipe") });
    equal(first(chat).parsed, kit.recipe);
    const streamed = await client.chat.completions.stream({ model, messages: user(hello), response_format: zodResponseFormat(Recipe, "recipe") }).finalChatCompletion();
    equal(first(streamed).parsed, kit.recipe);
  },
  async json_mode() {
    equal(JSON.parse(first(await create({ response_format: { type: "json_object" } }, "Say something in JSON.")).content), { answer: "text" });
  },
  async image() {
    equal(first(await create({}, [{ type: "text", text: "echo done" }, { type: "image_url", image_url: { url: `data:image/png;base64,${kit.png}` } }])).content, kit.seen.image);
  },
  async document() {
    const file = { filename: "a.pdf", file_data: `data:application/pdf;base64,${kit.pdf}` };
    equal(first(await create({}, [{ type: "text", text: "echo done" }, { type: "file", file }])).content, kit.seen.document);
  },
  async audio() {
    equal(first(await create({ model: kit.hearer }, [{ type: "text", text: "echo done" }, { type: "input_audio", input_audio: { data: kit.wav, format: "wav" } }])).content, kit.seen.audio);
  },
  async stop() {
    const chat = await create({ stop: ["STOP"] }, kit.stopPrompt);
    equal([first(chat).content, chat.choices[0].finish_reason], [kit.stopped, "stop"]);
  },
  async length() {
    const chat = await create({ max_completion_tokens: kit.limit });
    equal([first(chat).content, chat.choices[0].finish_reason], [kit.cut, "length"]);
    equal(first(await create({ max_tokens: kit.limit })).content, kit.cut);
  },
  async n() {
    const chat = await create({ n: 2 });
    equal(chat.choices.map((c) => [c.index, c.message.content]), [[0, speech], [1, speech]]);
    const list = ["", ""];
    for await (const chunk of await create({ n: 2, stream: true })) for (const c of chunk.choices) list[c.index] += c.delta.content ?? "";
    equal(list, [speech, speech]);
  },
  async logprobs() {
    const { content } = (await create({ logprobs: true, top_logprobs: 2 })).choices[0].logprobs;
    equal(content.map((t) => t.token).join(""), speech);
    check(content.every((t) => t.logprob <= 0 && t.top_logprobs.length > 0), "tokens without probabilities");
  },
  async usage() {
    const of = (u) => kit.tokens({ input: u.prompt_tokens, output: u.completion_tokens, total: u.total_tokens });
    of((await create()).usage);
    let usage;
    for await (const chunk of await create({ stream: true, stream_options: { include_usage: true } })) usage = chunk.usage ?? usage;
    of(usage);
    for await (const chunk of await create({ stream: true })) check(!chunk.usage, "usage that nobody asked for");
  },
  error_400: () => is(() => create({ temperature: "hot" }), BadRequestError, null, "temperature"),
  error_401: () => is(() => stranger.chat.completions.create({ model, messages: user(hello) }), AuthenticationError, "invalid_api_key"),
  error_404: () => is(() => create({ model: "no-such-model" }), NotFoundError, "model_not_found"),
  async error_429() {
    await limited(() => create());
    await limited(() => create({ stream: true }));
  },
  abort: () => kit.aborted(async function* (signal) {
    const stream = await client.chat.completions.create({ model, messages: user(kit.long), stream: true }, { signal });
    for await (const chunk of stream) yield chunk.choices[0]?.delta.content;
  }),
  async models() {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    check(ids.includes("auto") && ids.includes(model), `lists ${ids}`);
    equal((await client.models.retrieve(model)).id, model);
    await is(() => client.models.retrieve("no-such-model"), NotFoundError);
  },
  async embeddings() {
    const made = await client.embeddings.create({ model: kit.embedder, input: "a wave" });
    kit.vector(made.data[0].embedding);
    check(made.usage.prompt_tokens >= 0 && made.object === "list", "no usage");
    const floats = await client.embeddings.create({ model: kit.embedder, input: "a wave", encoding_format: "float" });
    kit.same(made.data[0].embedding, floats.data[0].embedding);
    kit.vector((await client.embeddings.create({ model: kit.embedder, input: "a wave", dimensions: 4 })).data[0].embedding, 4);
  },
  async embeddings_batch() {
    const two = await client.embeddings.create({ model: kit.embedder, input: ["a wave", "a wall"] });
    equal(two.data.map((d) => d.index), [0, 1]);
    const [wave, wall] = two.data.map((d) => d.embedding);
    check(JSON.stringify(wave) !== JSON.stringify(wall), "one vector for two texts");
    kit.same((await client.embeddings.create({ model: kit.embedder, input: "a wall" })).data[0].embedding, wall);
  },
};
await kit.drive("openai-js", "openai-chat", chat, {
  ...without("the dialect has no mark for a result that is an error", "tool_error"),
  ...without("the dialect has no call that counts", "count"),
});

const respond = (more, input = hello) => client.responses.create({ model, input, store: false, ...more });
const flat = kit.tools.map(({ name, description, schema }) => ({ type: "function", name, description, parameters: schema, strict: false }));
const items = (response) => response.output.filter((o) => o.type === "function_call");
const itemCalls = (response) => items(response).map((o) => ({ name: o.name, args: JSON.parse(o.arguments) }));
const outputs = (response, ...results) => items(response).map((o, i) => ({ type: "function_call_output", call_id: o.call_id, output: results[i] }));
const part = (content) => [{ role: "user", content: [{ type: "input_text", text: "echo done" }, content] }];

const responses = {
  async chat() {
    const answer = await respond();
    equal([answer.output_text, answer.status, answer.object, answer.output[0].type], [speech, "completed", "response", "message"]);
  },
  async stream() {
    const list = [];
    let last;
    let number = -1;
    for await (const event of await respond({ stream: true })) {
      equal(event.sequence_number, ++number);
      if (event.type === "response.output_text.delta") list.push(event.delta);
      last = event;
    }
    kit.pieces(list);
    equal([last.type, last.response.output[0].content[0].text], ["response.completed", speech]);
  },
  async system() {
    for (const more of [{ instructions: "Be brief." }, { input: [{ role: "developer", content: "Be brief." }, ...user(hello)] }]) {
      const answer = await respond(more);
      equal(answer.output_text, speech);
      check(answer.usage.input_tokens > 7, "the instructions did not arrive");
    }
  },
  async multi_turn() {
    const one = await respond({}, "echo Hello Ada.");
    const two = await respond({}, [...user("echo Hello Ada."), ...one.output, ...user("echo Ada")]);
    equal(two.output_text, "Ada");
    check(two.usage.input_tokens > one.usage.input_tokens, "the earlier turns did not arrive");
    const stored = await client.responses.create({ model, input: "echo Hello Ada.", store: true });
    const next = await client.responses.create({ model, input: "echo Ada", previous_response_id: stored.id });
    equal(next.output_text, "Ada");
    equal(next.usage.input_tokens, two.usage.input_tokens);
  },
  async tool() {
    equal(itemCalls(await respond({ tools: flat }, kit.oslo)), kit.wanted.slice(0, 1));
    await kit.forced(async () => itemCalls(await respond({ tools: flat, tool_choice: { type: "function", name: "get_time" } })));
    equal(itemCalls(await respond({ tools: flat, tool_choice: "none" }, kit.oslo)), []);
  },
  async parallel_tools() {
    const one = await respond({ tools: flat }, kit.both);
    equal(itemCalls(one), kit.wanted);
    equal(one.output_text.trim(), "Let me see.");
    const two = await respond({ tools: flat }, [...user(kit.both), ...one.output, ...outputs(one, kit.weather, "noon")]);
    equal(two.output_text, kit.toldBoth);
  },
  async streamed_tools() {
    const run = client.responses.stream({ model, input: kit.both, tools: flat, store: false });
    let deltas = "";
    run.on("response.function_call_arguments.delta", (e) => { deltas += e.delta; });
    const one = JSON.parse(JSON.stringify(await run.finalResponse(), (name, value) => (name.startsWith("parsed") ? undefined : value))); // the SDK's own additions
    equal(itemCalls(one), kit.wanted);
    equal(deltas, items(one).map((o) => o.arguments).join(""));
    const two = await respond({ tools: flat }, [...user(kit.both), ...one.output, ...outputs(one, kit.weather, "noon")]);
    equal(two.output_text, kit.toldBoth);
  },
  async tool_loop() {
    for (const stream of [false, true]) {
      let call;
      const execute = (args) => { call = { name: "get_weather", args }; return kit.weather; };
      const runner = new ResponsesToolRunner({ functions: [{ tool: flat[0], execute }] });
      const end = await runner.run(client, { model: kit.thinker, input: kit.loopPrompt, store: false }, { stream });
      kit.checkLoop(call, end.output_text);
    }
  },
  async thinking() {
    const more = { model: kit.thinker, reasoning: { effort: "low", summary: "auto" }, include: ["reasoning.encrypted_content"], tools: flat };
    const input = user(`think about Oslo\n${kit.oslo}`);
    const one = await respond(more, input);
    const thought = one.output.find((o) => o.type === "reasoning");
    if (kit.provider !== "openai") equal(thought.summary.map((s) => s.text).join(""), "about Oslo");
    equal(itemCalls(one), kit.wanted.slice(0, 1));
    equal((await respond(more, [...input, ...one.output, ...outputs(one, kit.weather)])).output_text, kit.told);
    let deltas = "";
    for await (const event of await respond({ ...more, stream: true }, "think about the sea")) if (event.type === "response.reasoning_summary_text.delta") deltas += event.delta;
    if (kit.provider !== "openai") equal(deltas, "about the sea");
  },
  async json_schema() {
    const format = { model, input: hello, store: false, text: { format: zodTextFormat(Recipe, "recipe") } };
    equal((await client.responses.parse(format)).output_parsed, kit.recipe);
    equal((await client.responses.stream(format).finalResponse()).output_parsed, kit.recipe);
  },
  async json_mode() {
    equal(JSON.parse((await respond({ text: { format: { type: "json_object" } } }, "Say something in JSON.")).output_text), { answer: "text" });
  },
  async image() {
    equal((await respond({}, part({ type: "input_image", detail: "auto", image_url: `data:image/png;base64,${kit.png}` }))).output_text, kit.seen.image);
  },
  async document() {
    equal((await respond({}, part({ type: "input_file", filename: "a.pdf", file_data: `data:application/pdf;base64,${kit.pdf}` }))).output_text, kit.seen.document);
  },
  async length() {
    const answer = await respond({ max_output_tokens: kit.limit });
    equal([answer.output_text, answer.status, answer.incomplete_details], [kit.cut, "incomplete", { reason: "max_output_tokens" }]);
  },
  async logprobs() {
    const answer = await respond({ include: ["message.output_text.logprobs"], top_logprobs: 2 });
    const { logprobs } = answer.output[0].content[0];
    equal(logprobs.map((t) => t.token).join(""), speech);
    check(logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length > 0), "tokens without probabilities");
  },
  async usage() {
    const of = (u) => kit.tokens({ input: u.input_tokens, output: u.output_tokens, total: u.total_tokens });
    of((await respond()).usage);
    of((await client.responses.stream({ model, input: hello, store: false }).finalResponse()).usage);
  },
  error_400: () => is(() => respond({ temperature: "hot" }), BadRequestError, null, "temperature"),
  error_401: () => is(() => stranger.responses.create({ model, input: hello }), AuthenticationError, "invalid_api_key"),
  error_404: () => is(() => respond({ model: "no-such-model" }), NotFoundError, "model_not_found"),
  async error_429() {
    await limited(() => respond());
    await limited(() => respond({ stream: true }));
  },
  abort: () => kit.aborted(async function* (signal) {
    const stream = await client.responses.create({ model, input: kit.long, store: false, stream: true }, { signal });
    for await (const event of stream) if (event.type === "response.output_text.delta") yield event.delta;
  }),
  async count() {
    const { input_tokens, object } = await client.responses.inputTokens.count({ model, input: hello });
    check(input_tokens > 0 && object === "response.input_tokens", `${object}: ${input_tokens}`);
  },
};
await kit.drive("openai-js", "openai-responses", responses, {
  ...without("the dialect has no mark for a result that is an error", "tool_error"),
  ...without("the dialect does not take it", "audio", "stop", "n"),
  ...without("of the API, not of the dialect: see openai-chat", "models", "embeddings", "embeddings_batch"),
});

const complete = (more, prompt = hello) => client.completions.create({ model, prompt, max_tokens: 200, ...more });
const completions = {
  async chat() {
    const answer = await complete();
    equal([answer.choices[0].text, answer.choices[0].finish_reason, answer.object], [speech, "stop", "text_completion"]);
  },
  async stream() {
    const list = [];
    for await (const chunk of await complete({ stream: true })) list.push(chunk.choices[0]?.text ?? "");
    kit.pieces(list);
  },
  async stop() {
    const answer = await complete({ stop: "STOP" }, kit.stopPrompt);
    equal([answer.choices[0].text, answer.choices[0].finish_reason], [kit.stopped, "stop"]);
  },
  async length() {
    const answer = await complete({ max_tokens: kit.limit });
    equal([answer.choices[0].text, answer.choices[0].finish_reason], [kit.cut, "length"]);
  },
  async n() {
    equal((await complete({ n: 2 })).choices.map((c) => c.text), [speech, speech]);
  },
  async logprobs() {
    const { logprobs } = (await complete({ logprobs: 2 })).choices[0];
    equal(logprobs.tokens.join(""), speech);
    equal(logprobs.token_logprobs.length, logprobs.tokens.length);
  },
  async usage() {
    const of = (u) => kit.tokens({ input: u.prompt_tokens, output: u.completion_tokens, total: u.total_tokens });
    of((await complete()).usage);
    let usage;
    for await (const chunk of await complete({ stream: true, stream_options: { include_usage: true } })) usage = chunk.usage ?? usage;
    of(usage);
  },
  error_400: () => is(() => complete({ temperature: "hot" }), BadRequestError, null, "temperature"),
  error_401: () => is(() => stranger.completions.create({ model, prompt: hello }), AuthenticationError, "invalid_api_key"),
  error_404: () => is(() => complete({ model: "no-such-model" }), NotFoundError, "model_not_found"),
  error_429: () => limited(() => complete()),
  abort: () => kit.aborted(async function* (signal) {
    const stream = await client.completions.create({ model, prompt: kit.long, max_tokens: 10_000, stream: true }, { signal });
    for await (const chunk of stream) yield chunk.choices[0]?.text;
  }),
};
if (kit.mode !== "real") {
  await kit.drive("openai-js", "openai-completions", completions, {
    ...without("the dialect is a prompt and its text", "system", "multi_turn", "tool", "parallel_tools", "streamed_tools", "tool_loop", "tool_error",
      "thinking", "json_schema", "json_mode", "image", "document", "audio", "count"),
    ...without("of the API, not of the dialect: see openai-chat", "models", "embeddings", "embeddings_batch"),
  });
}
kit.done();
