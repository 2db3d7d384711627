"""Stories told with the Python SDKs of Anthropic and Google as they are: python other_stories.py STORY URL."""

import sys

TOKEN = "kw-client-of-the-stories"


def anthropic_everyday(url):
    import anthropic

    ai = anthropic.Anthropic(base_url=url, api_key=TOKEN, max_retries=0)
    asked = {"model": "c", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    answer = ai.messages.create(**asked)
    text = answer.content[0].text
    assert text.endswith(": hello") and answer.stop_reason == "end_turn", answer
    with ai.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == text
        assert stream.get_final_message().usage.output_tokens == answer.usage.output_tokens
    try:
        ai.messages.create(**{**asked, "model": "none"})
        raise AssertionError("no such model")
    except anthropic.NotFoundError as error:
        assert error.body["type"] == "error", error.body
    try:
        anthropic.Anthropic(base_url=url, api_key="kw-nobody", max_retries=0).messages.create(**asked)
        raise AssertionError("nobody is served")
    except anthropic.AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error", error.body


def anthropic_exhausted(url):
    import anthropic

    ai = anthropic.Anthropic(base_url=url, api_key=TOKEN, max_retries=5)
    asked = {"model": "c", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    ai.messages.create(**asked)
    try:
        ai.messages.create(**asked)
        raise AssertionError("the limit is used up")
    except anthropic.RateLimitError as error:
        assert int(error.response.headers["retry-after"]) > 60, error.response.headers


def gemini_everyday(url):
    from google import genai
    from google.genai import errors, types

    def client(token, base_url=url):
        return genai.Client(api_key=token, http_options=types.HttpOptions(base_url=base_url))

    ai = client(TOKEN)
    assert [model.name for model in ai.models.list()] == ["models/m", "models/other"]
    alone = client(TOKEN, url + "/providers/sim")
    assert alone.models.generate_content(model="g", contents="hello").text.startswith("sim ")
    answer = ai.models.generate_content(model="g", contents="hello")
    assert answer.text.startswith("sim ") and answer.usage_metadata.total_token_count > 0, answer
    pieces = list(ai.models.generate_content_stream(model="g", contents="hello"))
    assert len(pieces) > 1 and "".join(piece.text for piece in pieces) == answer.text
    for model, token, code, status in [
        ("none", TOKEN, 404, "NOT_FOUND"),
        ("g", "kw-nobody", 401, "UNAUTHENTICATED"),
    ]:
        ai = client(token)
        try:
            ai.models.generate_content(model=model, contents="hello")
            raise AssertionError(f"no {status}")
        except errors.ClientError as error:
            assert (error.code, error.status) == (code, status), error


if __name__ == "__main__":
    story, url = sys.argv[1:]
    globals()[story](url)
