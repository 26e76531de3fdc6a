// Ollama's own library at the doors for chat and for generate. What it prints
// is in kit.mjs.
import { Ollama } from "ollama";
import * as kit from "./kit.mjs";
import { check, equal, hello, model, speech, without } from "./kit.mjs";

const open = (key) => new Ollama({ host: kit.url, headers: { Authorization: `Bearer ${key}` } });
const client = open(kit.key);
const stranger = open("wrong");

const user = (content, more) => ({ role: "user", content, ...more });
const chat = (more, prompt = hello) => client.chat({ model, messages: [user(prompt)], ...more });
const generate = (more, prompt = hello) => client.generate({ model, prompt, ...more });
const tools = kit.tools.map(({ name, description, schema }) => ({ type: "function", function: { name, description, parameters: schema } }));
const calls = (message) => (message.tool_calls ?? []).map((c) => ({ name: c.function.name, args: c.function.arguments }));
const results = (message, ...list) => message.tool_calls.map((c, i) => ({ role: "tool", tool_name: c.function.name, content: list[i] }));

async function is(call, status) {
  const e = await kit.fails(call);
  equal([e.name, e.status_code], ["ResponseError", status]);
  check(typeof e.error === "string" && e.error !== "", `the error is ${typeof e.error}`);
}

// read gathers the lines of a stream, whose last one is done.
async function read(stream, of) {
  const list = [];
  let last;
  for await (const line of await stream) {
    check(last === undefined || !last.done, "a line behind the last");
    list.push(of(line) ?? "");
    last = line;
  }
  check(last.done, "the last line is not done");
  return { list, last };
}

const chatting = {
  async chat() {
    const answer = await chat();
    equal([answer.message.role, answer.message.content, answer.done, answer.done_reason], ["assistant", speech, true, "stop"]);
  },
  async stream() {
    const { list, last } = await read(chat({ stream: true }), (line) => line.message.content);
    kit.pieces(list);
    equal(last.done_reason, "stop");
  },
  async system() {
    const answer = await chat({ messages: [{ role: "system", content: "Be brief." }, user(hello)] });
    equal(answer.message.content, speech);
    check(answer.prompt_eval_count > 7, "the system message did not arrive");
  },
  async multi_turn() {
    const answer = await chat({ messages: [user("My name is Ada."), { role: "assistant", content: "Hello Ada." }, user("echo Ada")] });
    equal(answer.message.content, "Ada");
    check(answer.prompt_eval_count >= 16, "the earlier turns did not arrive");
  },
  async tool() {
    const answer = await chat({ tools }, kit.oslo);
    equal([calls(answer.message), answer.done_reason], [kit.wanted.slice(0, 1), "stop"]);
  },
  async parallel_tools() {
    const { message } = await chat({ tools }, kit.both);
    equal(calls(message), kit.wanted);
    equal(message.content.trim(), "Let me see.");
    const end = await chat({ tools, messages: [user(kit.both), message, ...results(message, kit.weather, "noon")] });
    equal(end.message.content, kit.toldBoth);
  },
  async streamed_tools() {
    const message = { role: "assistant", content: "", tool_calls: [] };
    await read(chat({ tools, stream: true }, kit.both), (line) => {
      message.content += line.message.content;
      message.tool_calls.push(...(line.message.tool_calls ?? []));
    });
    equal(calls(message), kit.wanted);
    const end = await chat({ tools, messages: [user(kit.both), message, ...results(message, kit.weather, "noon")] });
    equal(end.message.content, kit.toldBoth);
  },
  async tool_loop() {
    const messages = [user(kit.loopPrompt)];
    let call;
    for (let turn = 0; turn < 5; turn++) {
      const { message } = await chat({ tools: tools.slice(0, 1), messages });
      if (!message.tool_calls?.length) return kit.checkLoop(call, message.content);
      [call] = calls(message);
      messages.push(message, ...results(message, kit.weather));
    }
    check(false, "the loop does not end");
  },
  async thinking() {
    const messages = [user(`think about Oslo\n${kit.oslo}`)];
    const { message } = await chat({ model: kit.thinker, think: true, tools, messages });
    if (kit.provider !== "openai") equal(message.thinking, "about Oslo");
    equal(calls(message), kit.wanted.slice(0, 1));
    messages.push(message, ...results(message, kit.weather));
    equal((await chat({ model: kit.thinker, think: true, tools, messages })).message.content, kit.told);
    const { list } = await read(chat({ model: kit.thinker, think: true, stream: true }, "think about the sea"), (line) => line.message.thinking);
    equal(list.join(""), kit.provider === "openai" ? "" : "about the sea");
  },
  async json_schema() {
    equal(JSON.parse((await chat({ format: kit.recipeSchema })).message.content), kit.recipe);
    const { list } = await read(chat({ format: kit.recipeSchema, stream: true }), (line) => line.message.content);
    equal(JSON.parse(list.join("")), kit.recipe);
  },
  async json_mode() {
    equal(JSON.parse((await chat({ format: "json" }, "Say something in JSON.")).message.content), { answer: "text" });
  },
  async image() {
    equal((await chat({ messages: [user("echo done", { images: [kit.png] })] })).message.content, kit.seen.image);
  },
  async stop() {
    const answer = await chat({ options: { stop: ["STOP"] } }, kit.stopPrompt);
    equal([answer.message.content, answer.done_reason], [kit.stopped, "stop"]);
  },
  async length() {
    const answer = await chat({ options: { num_predict: kit.limit } });
    equal([answer.message.content, answer.done_reason], [kit.cut, "length"]);
  },
  async logprobs() {
    const { logprobs } = await chat({ logprobs: true, top_logprobs: 2 });
    equal(logprobs.map((t) => t.token).join(""), speech);
    check(logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length > 0), "tokens without probabilities");
  },
  async usage() {
    const of = (a) => kit.tokens({ input: a.prompt_eval_count, output: a.eval_count });
    of(await chat());
    of((await read(chat({ stream: true }), () => "")).last);
  },
  error_400: () => is(() => chat({ options: { temperature: "hot" } }), 400),
  error_401: () => is(() => stranger.chat({ model, messages: [user(hello)] }), 401),
  error_404: () => is(() => chat({ model: "no-such-model" }), 404),
  async error_429() {
    await is(() => chat(), 429);
    await is(() => chat({ stream: true }), 429);
  },
  async abort() {
    const e = await kit.aborted(async function* (signal) {
      const stream = await chat({ stream: true }, kit.long);
      signal.addEventListener("abort", () => stream.abort());
      for await (const line of stream) yield line.message.content;
    });
    equal(e.name, "AbortError");
  },
  async models() {
    const { models } = await client.list();
    const names = models.map((m) => m.name);
    check(names.includes("auto") && names.includes(model), `lists ${names}`);
    const shown = await client.show({ model });
    check(shown.details && shown.model_info && shown.modified_at, `it is shown as ${JSON.stringify(shown)}`);
    check(Array.isArray((await client.ps()).models), "no list of what is loaded");
    check((await client.version()).version !== "", "no version");
    await is(() => client.show({ model: "no-such-model" }), 404);
  },
  async embeddings() {
    const { embeddings } = await client.embed({ model: kit.embedder, input: "a wave" });
    equal(embeddings.length, 1);
    kit.vector(embeddings[0]);
    kit.vector((await client.embed({ model: kit.embedder, input: "a wave", dimensions: 4 })).embeddings[0], 4);
    kit.same((await client.embeddings({ model: kit.embedder, prompt: "a wave" })).embedding, embeddings[0]);
  },
  async embeddings_batch() {
    const [wave, wall, ...rest] = (await client.embed({ model: kit.embedder, input: ["a wave", "a wall"] })).embeddings;
    equal(rest, []);
    check(JSON.stringify(wave) !== JSON.stringify(wall), "one vector for two texts");
    kit.same((await client.embed({ model: kit.embedder, input: "a wall" })).embeddings[0], wall);
  },
};
await kit.drive("ollama-js", "ollama-chat", chatting, {
  ...without("the dialect does not take it", "document", "audio", "n"),
  ...without("the dialect has no mark for a result that is an error", "tool_error"),
  ...without("the dialect has no call that counts", "count"),
});

const generating = {
  async chat() {
    const answer = await generate();
    equal([answer.response, answer.done, answer.done_reason], [speech, true, "stop"]);
  },
  async stream() {
    kit.pieces((await read(generate({ stream: true }), (line) => line.response)).list);
  },
  async system() {
    const answer = await generate({ system: "Be brief." });
    equal(answer.response, speech);
    check(answer.prompt_eval_count > 7, "the system prompt did not arrive");
  },
  async thinking() {
    const answer = await generate({ model: kit.thinker, think: true }, "think about the sea");
    if (kit.provider !== "openai") equal(answer.thinking, "about the sea");
    equal(answer.response, speech);
  },
  async json_schema() {
    equal(JSON.parse((await generate({ format: kit.recipeSchema })).response), kit.recipe);
  },
  async json_mode() {
    equal(JSON.parse((await generate({ format: "json" }, "Say something in JSON.")).response), { answer: "text" });
  },
  async image() {
    equal((await generate({ images: [kit.png] }, "echo done")).response, kit.seen.image);
  },
  async stop() {
    equal((await generate({ options: { stop: ["STOP"] } }, kit.stopPrompt)).response, kit.stopped);
  },
  async length() {
    const answer = await generate({ options: { num_predict: kit.limit } });
    equal([answer.response, answer.done_reason], [kit.cut, "length"]);
  },
  async logprobs() {
    equal((await generate({ logprobs: true, top_logprobs: 2 })).logprobs.map((t) => t.token).join(""), speech);
  },
  async usage() {
    const of = (a) => kit.tokens({ input: a.prompt_eval_count, output: a.eval_count });
    of(await generate());
    of((await read(generate({ stream: true }), () => "")).last);
  },
  error_400: () => is(() => generate({ options: { temperature: "hot" } }), 400),
  error_401: () => is(() => stranger.generate({ model, prompt: hello }), 401),
  error_404: () => is(() => generate({ model: "no-such-model" }), 404),
  error_429: () => is(() => generate(), 429),
  async abort() {
    const e = await kit.aborted(async function* (signal) {
      const stream = await generate({ stream: true }, kit.long);
      signal.addEventListener("abort", () => stream.abort());
      for await (const line of stream) yield line.response;
    });
    equal(e.name, "AbortError");
  },
};
if (kit.mode !== "real") {
  await kit.drive("ollama-js", "ollama-generate", generating, {
    ...without("the dialect is a prompt and its text", "multi_turn", "tool", "parallel_tools", "streamed_tools", "tool_loop", "tool_error"),
    ...without("the dialect does not take it", "document", "audio", "n"),
    ...without("the dialect has no call that counts", "count"),
    ...without("of the API, not of the dialect: see ollama-chat", "models", "embeddings", "embeddings_batch"),
  });
}
kit.done();
