"""Stories told with OpenAI's Python SDK as it is: python openai_stories.py STORY URL."""

import asyncio
import sys

import openai

MODEL = "m"
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
TOKEN = "kw-client-of-the-stories"


def client(url, path="/v1", **options):
    """A client of the gateway. Without retries, so that nothing is hidden."""
    return openai.OpenAI(**{"base_url": url + path, "api_key": TOKEN, "max_retries": 0, "timeout": 20.0, **options})


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def everyday(url):
    ai = client(url)
    answer = ai.chat.completions.create(model=MODEL, messages=HELLO)
    text = answer.choices[0].message.content
    assert text.endswith(": hello"), text
    assert answer.usage.total_tokens > 0

    raw = ai.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-keywheel-provider"] == "sim", raw.headers
    assert raw.headers["x-keywheel-attempts"] == "1" and raw.headers["x-request-id"], raw.headers
    assert raw.parse()._request_id == raw.headers["x-request-id"]

    options = {"include_usage": True}
    chunks = list(ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options))
    assert text_of(chunks) == text
    assert chunks[-1].usage.total_tokens == answer.usage.total_tokens

    assert ai.completions.create(model=MODEL, prompt="hello").choices[0].text.endswith(": hello")
    pieces = ai.completions.create(model=MODEL, prompt="hello", stream=True)
    assert "".join(piece.choices[0].text for piece in pieces).endswith(": hello")

    # The SDK asks for base64 by itself and turns it into numbers.
    data = ai.embeddings.create(model=MODEL, input=["a", "b"]).data
    assert [len(one.embedding) for one in data] == [8, 8] and data[0].embedding != data[1].embedding
    numbers = ai.embeddings.create(model=MODEL, input=["a", "b"], encoding_format="float").data
    assert [one.embedding for one in numbers] == [one.embedding for one in data]

    # A field that nobody knows travels on.
    ai.chat.completions.create(model=MODEL, messages=HELLO, extra_body={"unheard_of": {"x": [1, 2]}})


def asynchronous(url):
    async def story():
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=TOKEN, max_retries=0) as ai:

            async def one():
                stream = await ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
                return text_of([chunk async for chunk in stream])

            texts = await asyncio.gather(*(one() for _ in range(20)))
            assert len(set(texts)) == 1 and texts[0].endswith(": hello"), texts

    asyncio.run(story())


def tools(url):
    ai = client(url)
    for choice in ("required", {"type": "function", "function": {"name": "look_up"}}):
        asked = {"model": MODEL, "messages": HELLO, "tools": TOOLS, "tool_choice": choice}
        answer = ai.chat.completions.create(**asked).choices[0]
        assert answer.finish_reason == "tool_calls" and answer.message.content is None
        call = answer.message.tool_calls[0].function
        assert call.name == "look_up" and call.arguments.startswith('{"text":'), call

        with ai.chat.completions.stream(**asked) as stream:
            streamed = stream.get_final_completion().choices[0]
        assert streamed.finish_reason == "tool_calls"
        assert streamed.message.tool_calls[0].function.arguments == call.arguments


def responses(url):
    ai = client(url)
    answer = ai.responses.create(model=MODEL, input="hello")
    assert answer.status == "completed" and answer.output_text.endswith(": hello"), answer
    events = list(ai.responses.create(model=MODEL, input="hello", stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == answer.output_text == events[-1].response.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))


def models(url):
    ai = client(url)
    assert [model.id for model in ai.models.list()] == ["m", "other"]
    assert ai.models.retrieve("m").id == "m"
    error = raises(openai.NotFoundError, lambda: ai.models.retrieve("none"))
    assert error.status_code == 404


def files(url):
    ai = client(url, "/providers/sim/v1")
    told = ai.files.create(file=("a.jsonl", b"x" * 5_000_000), purpose="batch")
    assert told.bytes > 5_000_000, told
    content = ai.files.content("bytes-3000000").read()
    assert len(content) == 3_000_000
    speech = ai.audio.speech.create(model=MODEL, voice="alloy", input="hello")
    assert len(speech.read()) == 20_000
    answer = ai.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content.endswith(": hello")


def mistakes(url):
    ai = client(url)
    error = raises(openai.NotFoundError, lambda: ai.chat.completions.create(model="none", messages=HELLO))
    assert error.status_code == 404 and error.body["code"] == "model_not_found", error.body
    error = raises(openai.BadRequestError, lambda: ai.post("/chat/completions", cast_to=object, body={"model": MODEL}))
    assert "messages" in error.message, error.message
    error = raises(openai.BadRequestError, lambda: ai.post("/chat/completions", cast_to=object, body={"messages": []}))
    assert error.code == "model_missing", error.code
    error = raises(openai.NotFoundError, lambda: ai.post("/unheard/of", cast_to=object, body={}))
    assert error.code == "not_found"


def stranger(url):
    ai = client(url, api_key="kw-nobody")
    error = raises(openai.AuthenticationError, lambda: ai.chat.completions.create(model=MODEL, messages=HELLO))
    assert error.status_code == 401
    raises(openai.AuthenticationError, lambda: ai.models.list())
    client(url).chat.completions.create(model=MODEL, messages=HELLO)


def dead_keys(url):
    ai = client(url, max_retries=3)
    error = raises(openai.APIStatusError, lambda: ai.chat.completions.create(model=MODEL, messages=HELLO))
    assert error.status_code == 502, error
    assert error.response.headers["x-should-retry"] == "false"


def unseen_throttle(url):
    ai = client(url)
    for _ in range(6):
        ai.chat.completions.create(model=MODEL, messages=HELLO)


def exhausted(url):
    ai = client(url, max_retries=5)
    ai.chat.completions.create(model=MODEL, messages=HELLO)
    for _ in range(3):
        error = raises(openai.RateLimitError, lambda: ai.chat.completions.create(model=MODEL, messages=HELLO))
        headers = error.response.headers
        assert int(headers["retry-after"]) > 60 and int(headers["retry-after-ms"]) > 60_000, headers
        assert headers["x-should-retry"] == "false", headers


def slow(url):
    ai = client(url, timeout=0.3)
    raises(openai.APITimeoutError, lambda: ai.chat.completions.create(model=MODEL, messages=HELLO))


def abandoned(url):
    ai = client(url)
    stream = ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    assert next(chunk for chunk in stream if chunk.choices[0].delta.content)
    stream.close()
    # There is one key, and it takes one request at a time: this one would wait for the whole stream.
    answer = ai.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content


def cut(url):
    ai = client(url)
    stream = ai.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    seen = []
    error = raises(openai.APIError, lambda: seen.extend(iter(stream)))
    assert error.code == "stream_broken", error
    # Of a response's stream an error is an event like others, as OpenAI has it.
    last = list(ai.responses.create(model=MODEL, input="hello", stream=True))[-1]
    assert (last.type, last.code) == ("error", "stream_broken"), last


if __name__ == "__main__":
    story, url = sys.argv[1:]
    globals()[story](url)
