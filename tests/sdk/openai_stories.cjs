// Stories told with OpenAI's SDK for Node as it is: node openai_stories.cjs STORY URL.
"use strict";

const assert = require("node:assert/strict");
const OpenAI = require("openai");

const model = "m";
const messages = [{ role: "user", content: "hello" }];
const token = "kw-client-of-the-stories";

/** A client of the gateway. Without retries, so that nothing is hidden. */
function client(url, options = {}) {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: token, maxRetries: 0, timeout: 20_000, ...options });
}

async function textOf(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

const stories = {
  async everyday(url) {
    const ai = client(url);
    const { data, response } = await ai.chat.completions.create({ model, messages }).withResponse();
    const text = data.choices[0].message.content;
    assert.match(text, /: hello$/);
    assert.equal(response.headers.get("x-keywheel-provider"), "sim");
    assert.equal(await textOf(await ai.chat.completions.create({ model, messages, stream: true })), text);

    const embedded = await ai.embeddings.create({ model, input: ["a", "b"] });
    assert.deepEqual(embedded.data.map((one) => one.embedding.length), [8, 8]);
    assert.match((await ai.completions.create({ model, prompt: "hello" })).choices[0].text, /: hello$/);

    const names = [];
    for await (const one of ai.models.list()) names.push(one.id);
    assert.deepEqual(names, ["m", "other"]);
  },

  async tools(url) {
    const tools = [{ type: "function", function: { name: "look_up", parameters: { type: "object" } } }];
    const asked = { model, messages, tools, tool_choice: "required" };
    const answer = await client(url).chat.completions.create(asked);
    const called = answer.choices[0].message.tool_calls[0].function;
    assert.equal(called.name, "look_up");
    const streamed = await client(url).chat.completions.stream(asked).finalChatCompletion();
    assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, called.arguments);
  },

  async responses(url) {
    const ai = client(url);
    const answer = await ai.responses.create({ model, input: "hello" });
    assert.match(answer.output_text, /: hello$/);
    let said = "";
    const types = [];
    for await (const event of await ai.responses.create({ model, input: "hello", stream: true })) {
      types.push(event.type);
      if (event.type === "response.output_text.delta") said += event.delta;
    }
    assert.deepEqual([types.at(0), types.at(-1), said], ["response.created", "response.completed", answer.output_text]);
  },

  async files(url) {
    const ai = client(url, { baseURL: `${url}/providers/sim/v1` });
    const file = await OpenAI.toFile(Buffer.alloc(2_000_000, "x"), "a.jsonl");
    const told = await ai.files.create({ file, purpose: "batch" });
    assert.ok(told.bytes > 2_000_000);
    const content = await ai.files.content("bytes-1000000");
    assert.equal((await content.arrayBuffer()).byteLength, 1_000_000);
  },

  async mistakes(url) {
    const chat = (ai, name) => ai.chat.completions.create({ model: name, messages });
    await assert.rejects(chat(client(url), "none"), OpenAI.NotFoundError);
    await assert.rejects(client(url).post("/chat/completions", { body: { model } }), OpenAI.BadRequestError);
    await assert.rejects(chat(client(url, { apiKey: "kw-nobody" }), model), OpenAI.AuthenticationError);
  },

  async dead_keys(url) {
    const ai = client(url, { maxRetries: 3 });
    await assert.rejects(ai.chat.completions.create({ model, messages }), { status: 502 });
  },

  async unseen_throttle(url) {
    for (let turn = 0; turn < 6; turn++) await client(url).chat.completions.create({ model, messages });
  },

  async exhausted(url) {
    const ai = client(url, { maxRetries: 5 });
    await ai.chat.completions.create({ model, messages });
    for (let turn = 0; turn < 3; turn++) {
      await assert.rejects(ai.chat.completions.create({ model, messages }), (error) => {
        assert.ok(error instanceof OpenAI.RateLimitError, String(error));
        assert.equal(error.headers.get("x-should-retry"), "false");
        return Number(error.headers.get("retry-after")) > 60;
      });
    }
  },

  async slow(url) {
    const ai = client(url, { timeout: 300 });
    await assert.rejects(ai.chat.completions.create({ model, messages }), OpenAI.APIConnectionTimeoutError);
  },

  async abandoned(url) {
    const ai = client(url);
    const stream = await ai.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    // There is one key, and it takes one request at a time: this one would wait for the whole stream.
    await ai.chat.completions.create({ model, messages });
  },
};

const [story, url] = process.argv.slice(2);
stories[story](url).catch((error) => {
  console.error(error);
  process.exit(1);
});
