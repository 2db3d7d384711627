#!/usr/bin/env python3
"""Turns GSM8K into a batch: every question becomes one row of OpenAI's Batch API, on stdout.

    benches/gsm8k.py gsm8k_test.jsonl > in.jsonl

The file is `grade_school_math/data/test.jsonl` of github.com/openai/grade-school-math (MIT):
1,319 lines of {"question", "answer"}. It isn't part of this project.
"""

import argparse
import json
import sys


def row(number: int, question: str, model: str) -> dict:
    return {
        "custom_id": f"gsm8k-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": model,
            "max_tokens": 400,
            "messages": [
                {"role": "system", "content": "Solve the problem. End with the number alone on the last line."},
                {"role": "user", "content": question},
            ],
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="lines of {\"question\", \"answer\"}")
    parser.add_argument("--model", default="gpt-4o-mini", help="the model to ask (default: %(default)s)")
    args = parser.parse_args()
    try:
        with open(args.file, encoding="utf-8") as lines:
            for number, line in enumerate(filter(str.strip, lines)):
                question = json.loads(line)["question"]
                print(json.dumps(row(number, question, args.model), ensure_ascii=False))
    except (OSError, ValueError, KeyError) as error:
        print(f"error: can't read {args.file}: {error!r}", file=sys.stderr)
        print("hint: give the lines of {\"question\", \"answer\"} that GSM8K consists of", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
