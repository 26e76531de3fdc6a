// What the programs share: the protocol, the prompts and the checks.
//
// A program is run as `node PROGRAM URL PROVIDER [limited|real]` and prints one
// JSON object for each feature. With "limited" every provider is at its rate
// limit, and only that is looked at; with "real" a real model serves, whose
// words nobody knows before: only the tool loop is driven.
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

export const [url, provider, mode = "simulated"] = process.argv.slice(2);
export const key = process.env.BREAKWATER_API_KEY ?? "any";
export const model = provider;
// Of OpenAI's models only some can hear or think.
export const hearer = provider === "openai" ? "openai/gpt-audio" : provider;
export const thinker = provider === "openai" ? "openai/echo-openai" : provider;
export const embedder = `${provider}/embed-${provider}`;

const title = { gemini: "Gemini", claude: "Claude", openai: "OpenAI", local: "Ollama" }[provider];
export const speech =
  `This is the simulated ${title} speaking. A breakwater takes the force out of the waves, ` +
  "so that the harbour behind it stays calm. Whatever was asked, this is the whole answer.";
export const hello = "Say something.";
export const weather = "4 degrees and rain";

// tools are offered as name, description and schema, since each SDK has its
// own way to say so.
export const tools = [
  {
    name: "get_weather",
    description: "The weather of a city",
    schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
  {
    name: "get_time",
    description: "The time in a city",
    schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
export const oslo = 'call get_weather {"city":"Oslo"}';
export const both = 'Let me see.\ncall get_weather {"city":"Oslo"}\ncall get_time {"city":"Bergen"}';
export const wanted = [
  { name: "get_weather", args: { city: "Oslo" } },
  { name: "get_time", args: { city: "Bergen" } },
];
export const told = `The tool get_weather said: ${weather}`;
export const toldBoth = `${told} The tool get_time said: noon`;
// To a provider whose dialect has no mark for errors, words say it.
export const failed = { gemini: "The tool get_weather failed: no such city", claude: "The tool get_weather failed: no such city" }[provider] ??
  "The tool get_weather said: Error: no such city";

// loopPrompt leads around a tool loop, which ends with checkLoop.
export const loopPrompt = mode === "real" ? "What is the weather in Oslo?" : oslo;
export function checkLoop(call, words) {
  equal(call, wanted[0]);
  if (mode === "real") assert.ok(words.length > 0, "no words after the tool's result");
  else equal(words, told);
}

// recipe is a schema, and the smallest instance of it.
export const recipeSchema = {
  type: "object",
  properties: {
    title: { type: "string" },
    kind: { type: "string", enum: ["soup", "cake"] },
    servings: { type: "integer" },
    steps: { type: "array", items: { type: "string" } },
  },
  required: ["title", "kind", "servings", "steps"],
  additionalProperties: false,
};
export const recipe = { title: "text", kind: "soup", servings: 1, steps: ["text"] };

// A PNG of one pixel, a PDF without pages and a WAV without a sound.
export const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const pdf = Buffer.from("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n").toString("base64");
export const wav = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";
const bytes = (base64) => Buffer.from(base64, "base64").length;
export const seen = {
  image: `I see image/png, ${bytes(png)} bytes. done`,
  document: `I read application/pdf, ${bytes(pdf)} bytes. done`,
  audio: `I hear audio/wav, ${bytes(wav)} bytes. done`,
};

// long is an answer that takes about three seconds.
export const long = "echo " + "0123456789ab".repeat(1000);
export const stopPrompt = "echo one two STOP three";
export const stopped = "one two ";
export const limit = 16; // the least that Responses takes
export const cut = speech.slice(0, 4 * limit); // four characters are a token

export function equal(got, want) {
  if (!isDeepStrictEqual(plain(got), plain(want))) assert.fail(`${JSON.stringify(got)} instead of ${JSON.stringify(want)}`);
}
const plain = (v) => (v === undefined ? undefined : JSON.parse(JSON.stringify(v)));
export function check(condition, what) {
  assert.ok(condition, what);
}

// pieces checks a streamed answer.
export function pieces(list, want = speech) {
  equal(list.join(""), want);
  check(list.filter((p) => p !== "").length > 5, `streamed in ${list.length} pieces`);
}

// tokens checks the usage of the answer to hello: four characters are a token,
// and a message costs three more.
export function tokens({ input, output, total = input + output }) {
  equal([input, output, total], [7, Math.ceil(speech.length / 4), 7 + Math.ceil(speech.length / 4)]);
}

// vector checks an embedding.
export function vector(v, dimensions = 8) {
  check(Array.isArray(v), `an embedding is ${typeof v}`);
  equal(v.length, dimensions);
  const length = Math.hypot(...v);
  check(Math.abs(length - 1) < 0.001, `a vector of length ${length}`);
}

// same checks that two embeddings are the same, as far as 32 bits tell.
export function same(a, b) {
  equal(a.length, b.length);
  a.forEach((x, i) => check(Math.abs(x - b[i]) < 1e-6, `${x} is not ${b[i]}`));
}

// fails gives the error that a call must end with.
export async function fails(call) {
  try {
    await call();
  } catch (e) {
    return e;
  }
  assert.fail("there was no error");
}

// forced checks a call that has to be made; Ollama cannot be made to call.
export async function forced(call) {
  if (provider !== "local") return equal(await call(), [{ name: "get_time", args: { city: "text" } }]);
  const e = await fails(call);
  equal(status(e), 400);
  check(/tool_choice/.test(e.message + JSON.stringify(e.error ?? "")), e.message);
}

// plainly takes the results of tools out of the objects that a library wraps
// them in.
export const plainly = (text) =>
  text.replace(/\{[^{}]*\}/g, (object) => {
    const { content, result, details } = JSON.parse(object);
    return content ?? result ?? details ?? object;
  });

// aborted drives an abort in mid-stream: start(signal, stop) gives an iterable
// of texts, of which one is read. The stream must then end at once, with an
// error or without.
export async function aborted(start) {
  const control = new AbortController();
  let text = "";
  let error;
  try {
    for await (const piece of await start(control.signal)) {
      text += piece ?? "";
      if (text !== "") control.abort();
    }
  } catch (e) {
    error = e;
  }
  check(text !== "", `nothing came before the abort: ${error}`);
  check(text.length < long.length / 2, `${text.length} characters came after all`);
  return error;
}

// What a provider cannot do must be refused, naming the field, and not dropped.
const cannot = {
  gemini: [],
  claude: ["n", "logprobs", "audio", "json_mode", "embeddings", "embeddings_batch"],
  openai: [],
  local: ["n", "document", "audio"],
}[provider];

const features = [
  "chat", "stream", "system", "multi_turn", "tool", "parallel_tools", "streamed_tools", "tool_loop", "tool_error",
  "thinking", "json_schema", "json_mode", "image", "document", "audio", "stop", "length", "n", "logprobs", "usage",
  "error_400", "error_401", "error_404", "error_429", "abort", "models", "count", "embeddings", "embeddings_batch",
];

function print(client, door, feature, result) {
  console.log(JSON.stringify({ client, door, feature, ...result }));
}

export const status = (e) => e.status ?? e.statusCode ?? e.status_code ?? e.cause?.status ?? e.lastError?.statusCode;

async function attempt(feature, run) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no end after 15 s")), 15_000);
  });
  try {
    await Promise.race([run(), late]);
  } catch (e) {
    if (cannot.includes(feature) && status(e) === 400) return { ok: true, refused: brief(e.message) };
    return { ok: false, detail: brief(`${e.name}: ${e.message} ${where(e)}`) };
  } finally {
    clearTimeout(timer);
  }
  if (cannot.includes(feature)) return { ok: false, detail: "was neither refused nor possible" };
  return { ok: true, detail: "" };
}

const brief = (text) => text.replace(/\s+/g, " ").slice(0, 400);
const where = (e) => (e.stack ?? "").split("\n").filter((l) => l.includes(".mjs:") && !l.includes("node_modules") && !l.includes("kit.mjs"))[0]?.trim() ?? "";

// drive runs a client's features at a door and prints a line for each. skip
// says why a feature is impossible there.
export async function drive(client, door, runs, skip = {}) {
  const due = { limited: ["error_429"], real: ["tool_loop"] }[mode] ?? features.filter((f) => f !== "error_429");
  await Promise.all(
    due.map(async (feature) => {
      if (skip[feature] !== undefined) {
        if (mode === "simulated") print(client, door, feature, { skip: skip[feature] });
        return;
      }
      if (!runs[feature]) return print(client, door, feature, { ok: false, detail: "not written" });
      print(client, door, feature, await attempt(feature, runs[feature]));
    }),
  );
}

// without gives the skips of features for one reason.
export const without = (reason, ...names) => Object.fromEntries(names.map((n) => [n, reason]));

// The programs end when they are done, whatever an SDK keeps open.
export const done = () => process.exit(0);
