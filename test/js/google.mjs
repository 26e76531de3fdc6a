// Google's own SDK, at the version of the API that it asks by default and at
// v1beta. What it prints is in kit.mjs.
import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from "@google/genai";
import * as kit from "./kit.mjs";
import { check, equal, hello, model, speech, without } from "./kit.mjs";

const part = (mimeType, data) => [{ role: "user", parts: [{ inlineData: { mimeType, data } }, { text: "echo done" }] }];
const user = (text) => ({ role: "user", parts: [{ text }] });
const tools = [{ functionDeclarations: kit.tools.map(({ name, description, schema }) => ({ name, description, parametersJsonSchema: schema })) }];
const calls = (answer) => (answer.functionCalls ?? []).map(({ name, args }) => ({ name, args }));
const results = (list, ...outputs) => ({
  role: "user",
  parts: list.map(({ id, name }, i) => ({ functionResponse: { id, name, response: outputs[i] } })),
});
const weather = { output: kit.weather };
const noon = { output: "noon" };
const choose = (mode, ...allowedFunctionNames) => ({
  tools,
  toolConfig: { functionCallingConfig: { mode, ...(allowedFunctionNames.length > 0 && { allowedFunctionNames }) } },
});

async function is(call, code, status) {
  const e = await kit.fails(call);
  check(e instanceof ApiError, `${e.constructor.name}: ${e.message}`);
  equal(e.status, code);
  equal([JSON.parse(e.message).error.code, JSON.parse(e.message).error.status], [code, status]);
}

// It warns of parts that are no text whenever the text of an answer is asked for.
console.warn = () => {};

// features drives a client of one version of the API.
function features(apiVersion) {
  const httpOptions = { baseUrl: kit.url, apiVersion };
  const client = new GoogleGenAI({ apiKey: kit.key, httpOptions });
  const stranger = new GoogleGenAI({ apiKey: "wrong", httpOptions });
  const create = (config, contents = hello) => client.models.generateContent({ model, contents, config });
  const stream = (config, contents = hello) => client.models.generateContentStream({ model, contents, config });
  const think = (config, contents) => client.models.generateContent({ model: kit.thinker, contents, config });
  const thinkAloud = (config, contents) => client.models.generateContentStream({ model: kit.thinker, contents, config });
  const embed = async (contents, config) => (await client.models.embedContent({ model: kit.embedder, contents, config })).embeddings.map((e) => e.values);

  return {
    async chat() {
      const answer = await create();
      equal([answer.text, answer.candidates[0].finishReason, answer.candidates[0].content.role], [speech, "STOP", "model"]);
    },
    async stream() {
      const list = [];
      let finish;
      for await (const chunk of await stream()) {
        list.push(chunk.text ?? "");
        finish ??= chunk.candidates?.[0]?.finishReason;
      }
      kit.pieces(list);
      equal(finish, "STOP");
    },
    async system() {
      const answer = await create({ systemInstruction: "Be brief." });
      equal(answer.text, speech);
      check(answer.usageMetadata.promptTokenCount > 7, "the system instruction did not arrive");
    },
    async multi_turn() {
      const chat = client.chats.create({ model });
      await chat.sendMessage({ message: "echo Hello Ada." });
      const answer = await chat.sendMessage({ message: "echo Ada" });
      equal(answer.text, "Ada");
      check(answer.usageMetadata.promptTokenCount >= 15, "the earlier turns did not arrive");
    },
    async tool() {
      const answer = await create({ tools }, kit.oslo);
      equal([calls(answer), answer.candidates[0].finishReason], [kit.wanted.slice(0, 1), "STOP"]);
      await kit.forced(async () => calls(await create(choose(FunctionCallingConfigMode.ANY, "get_time"))));
      equal(calls(await create(choose(FunctionCallingConfigMode.NONE), kit.oslo)), []);
    },
    async parallel_tools() {
      const answer = await create({ tools }, kit.both);
      equal(calls(answer), kit.wanted);
      equal(answer.candidates[0].content.parts.find((p) => p.text).text.trim(), "Let me see.");
      const end = await create({ tools }, [user(kit.both), answer.candidates[0].content, results(answer.functionCalls, weather, noon)]);
      equal(end.text, kit.toldBoth);
    },
    async streamed_tools() {
      const parts = [];
      for await (const chunk of await stream({ tools }, kit.both)) parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
      const made = parts.flatMap((p) => p.functionCall ?? []);
      equal(calls({ functionCalls: made }), kit.wanted);
      const end = await create({ tools }, [user(kit.both), { role: "model", parts }, results(made, weather, noon)]);
      equal(end.text, kit.toldBoth);
    },
    async tool_loop() {
      // The SDK calls what can be called, and asks again.
      let call;
      const callable = {
        tool: async () => ({ functionDeclarations: [tools[0].functionDeclarations[0]] }),
        callTool: async (made) => {
          call = calls({ functionCalls: made })[0];
          return results(made, weather).parts;
        },
      };
      const answer = await create({ tools: [callable] }, kit.loopPrompt);
      kit.checkLoop(call, answer.text);
      let streamed = "";
      for await (const chunk of await stream({ tools: [callable] }, kit.loopPrompt)) streamed += chunk.text ?? "";
      kit.checkLoop(call, streamed);
    },
    async tool_error() {
      const answer = await create({ tools }, kit.oslo);
      const end = await create({ tools }, [user(kit.oslo), answer.candidates[0].content, results(answer.functionCalls, { error: "no such city" })]);
      equal(end.text, kit.failed);
    },
    async thinking() {
      const config = { tools, thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } };
      const question = user(`think about Oslo\n${kit.oslo}`);
      const answer = await think(config, [question]);
      const { content } = answer.candidates[0];
      if (kit.provider !== "openai") equal(content.parts.filter((p) => p.thought && p.text).map((p) => p.text).join(""), "about Oslo");
      equal(calls(answer), kit.wanted.slice(0, 1));
      equal((await think(config, [question, content, results(answer.functionCalls, weather)])).text, kit.told);
      const thoughts = [];
      let tokens;
      for await (const chunk of await thinkAloud(config, "think about the sea")) {
        for (const p of chunk.candidates?.[0]?.content?.parts ?? []) if (p.thought) thoughts.push(p.text ?? "");
        tokens = chunk.usageMetadata?.thoughtsTokenCount ?? tokens;
      }
      if (kit.provider !== "openai") equal(thoughts.join(""), "about the sea");
      else check(tokens > 0, "no tokens of thought");
    },
    async json_schema() {
      const config = { responseMimeType: "application/json", responseJsonSchema: kit.recipeSchema };
      equal(JSON.parse((await create(config)).text), kit.recipe);
      let streamed = "";
      for await (const chunk of await stream(config)) streamed += chunk.text ?? "";
      equal(JSON.parse(streamed), kit.recipe);
    },
    async json_mode() {
      equal(JSON.parse((await create({ responseMimeType: "application/json" }, "Say something in JSON.")).text), { answer: "text" });
    },
    async image() {
      equal((await create({}, part("image/png", kit.png))).text, kit.seen.image);
    },
    async document() {
      equal((await create({}, part("application/pdf", kit.pdf))).text, kit.seen.document);
    },
    async audio() {
      equal((await client.models.generateContent({ model: kit.hearer, contents: part("audio/wav", kit.wav) })).text, kit.seen.audio);
    },
    async stop() {
      const answer = await create({ stopSequences: ["STOP"] }, kit.stopPrompt);
      equal([answer.text, answer.candidates[0].finishReason], [kit.stopped, "STOP"]);
    },
    async length() {
      const answer = await create({ maxOutputTokens: kit.limit });
      equal([answer.text, answer.candidates[0].finishReason], [kit.cut, "MAX_TOKENS"]);
    },
    async n() {
      const answer = await create({ candidateCount: 2 });
      equal(answer.candidates.map((c) => c.content.parts.map((p) => p.text).join("")), [speech, speech]);
    },
    async logprobs() {
      const { chosenCandidates } = (await create({ responseLogprobs: true, logprobs: 2 })).candidates[0].logprobsResult;
      equal(chosenCandidates.map((t) => t.token).join(""), speech);
      check(chosenCandidates.every((t) => (t.logProbability ?? 0) <= 0), "a probability above 1");
    },
    async usage() {
      const of = (u) => kit.tokens({ input: u.promptTokenCount, output: u.candidatesTokenCount, total: u.totalTokenCount });
      of((await create()).usageMetadata);
      let usage;
      for await (const chunk of await stream()) usage = chunk.usageMetadata ?? usage;
      of(usage);
    },
    error_400: () => is(() => create({ temperature: "hot" }), 400, "INVALID_ARGUMENT"),
    // A key that is not valid is a 400 at Google's, but a 401 says it better.
    error_401: () => is(() => stranger.models.generateContent({ model, contents: hello }), 401, "UNAUTHENTICATED"),
    error_404: () => is(() => client.models.generateContent({ model: "no-such-model", contents: hello }), 404, "NOT_FOUND"),
    async error_429() {
      await is(() => create(), 429, "RESOURCE_EXHAUSTED");
      await is(() => stream(), 429, "RESOURCE_EXHAUSTED");
    },
    abort: () => kit.aborted(async function* (abortSignal) {
      for await (const chunk of await stream({ abortSignal }, kit.long)) yield chunk.text;
    }),
    async models() {
      const names = [];
      for await (const m of await client.models.list()) names.push(m.name);
      check(names.includes("models/auto") && names.includes(`models/${model}`), `lists ${names}`);
      equal((await client.models.get({ model })).name, `models/${model}`);
    },
    async count() {
      check((await client.models.countTokens({ model, contents: hello })).totalTokens > 0, "counts nothing");
    },
    async embeddings() {
      const [wave] = await embed("a wave");
      kit.vector(wave);
      kit.vector((await embed("a wave", { outputDimensionality: 4 }))[0], 4);
    },
    async embeddings_batch() {
      const [wave, wall, ...rest] = await embed(["a wave", "a wall"]);
      equal(rest, []);
      check(JSON.stringify(wave) !== JSON.stringify(wall), "one vector for two texts");
      kit.same((await embed("a wall"))[0], wall);
    },
  };
}

await kit.drive("google-js", "gemini-generate", features(undefined));
await kit.drive("google-js-v1beta", "gemini-generate", features("v1beta"));
kit.done();
