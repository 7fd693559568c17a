"""What lm-eval asks, as token ids: each distinct piece of text is encoded once, by lm-eval's own rules."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec

from harness.errors import InputError
from harness.measure.pieces import Encode, Encoded, Parts, encode_all
from harness.request_lines import Heads, alike

FEWEST_SHARED = 64
"""Tokens that are worth decoding in calls of their own."""
LONGEST_ANSWER = 256
"""lm-eval's default of the most tokens of an answer."""
ANSWER_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""How a task may name them; the first that it names counts, as in lm-eval."""

Tokenize = Callable[[Sequence[str], Sequence[bool], bool], list[list[int]]]
"""Texts; of each whether it gets the special tokens that the model begins a text with; whether the text of a special
token means that token."""


class Tokenizer(msgspec.Struct, frozen=True, kw_only=True):
    """What requests need of a model's tokenizer."""

    encode: Tokenize
    identity: str
    """Other tokens, other identity."""
    prefix_token: int
    """Stands before a text without context."""
    chat_template: str | None = None
    bos: str = ""
    """The text of the token that begins a text; empty: there is none."""
    eos: str = ""


def assemble(
    asked: Iterable[dict[str, Any]],
    tokenizer: Tokenizer,
    context: int,
    *,
    window: int | None = None,
    chat: bool = False,
) -> Iterator[dict[str, Any]]:
    """lm-eval's requests as token ids, by lm-eval's own rules, as lines of a request file.

    A continuation's tokens are those of context + continuation without the context's; trailing blanks of
    the context move to the continuation; an empty context is the model's prefix token. A chat prompt holds its
    special tokens as text; those that begin a text are added where it does not begin with the first of them. Rolling
    texts go in windows of `window` tokens (None: of `context`).
    """
    asked = list(asked)
    texts = chain.from_iterable(_texts(request) for request in asked)
    encoded = encode_all(texts, _chat_encode(tokenizer) if chat else _plain_encode(tokenizer), special=True)
    heads, number = Heads(), 0
    for request_number, request in enumerate(asked):
        prompt = request["args"][0]
        about = {key: request[key] for key in ("kind", "task", "doc", "index", "doc_hash")}
        head = head_of(request) if request["kind"] != "loglikelihood_rolling" else ""
        limit = window or context if request["kind"] == "loglikelihood_rolling" else context
        for part in _parts(request, encoded, limit, tokenizer.prefix_token):
            line = {"id": number, **about, "request": request_number, "prompt": prompt, **part}
            yield from heads.lines(line, head, encoded[head,] if head else [])
            number += 1


def _plain_encode(tokenizer: Tokenizer) -> Encode:
    return lambda texts, special: tokenizer.encode(texts, special, False)


def _chat_encode(tokenizer: Tokenizer) -> Encode:
    """As lm-eval: what begins with the text of the beginning's token gets no second one."""

    def begins(text: str) -> bool:
        return bool(tokenizer.bos) and text.startswith(tokenizer.bos)

    def encode(texts: Sequence[str], special: Sequence[bool]) -> list[list[int]]:
        return tokenizer.encode(texts, [one and not begins(t) for t, one in zip(texts, special, strict=True)], True)

    return encode


def _parts(request: dict[str, Any], encoded: Encoded, context: int, prefix_token: int) -> Iterable[dict[str, Any]]:
    match request["kind"]:
        case "loglikelihood":
            return [_pair(request, encoded, context, prefix_token)]
        case "loglikelihood_rolling":
            if not request["args"][0]:
                raise InputError(
                    f"task {request['task']}: document {request['doc']} is empty: leave it out of the data"
                )
            return _rolling(encoded[request["args"][0],], context, prefix_token)
        case "generate_until":
            return [_generation(request, encoded, context, prefix_token)]
        case other:
            raise InputError(f"lm-eval asks for {other!r} in task {request['task']}, which is not supported")


def _texts(request: dict[str, Any]) -> Iterable[Parts]:
    if request["kind"] == "loglikelihood_rolling":
        yield (request["args"][0],)
        return
    yield (head_of(request),)
    yield context_of(request)
    if request["kind"] == "loglikelihood":
        yield _whole(request)


def context_of(request: dict[str, Any]) -> Parts:
    """The prompt with what it may share with its neighbours first; before an answer without its trailing blanks."""
    return _divided(request["args"][0], len(head_of(request)), request["kind"] == "loglikelihood")


@lru_cache(maxsize=8)
def _divided(prompt: str, head: int, strip: bool) -> Parts:
    """Kept for the answers to one prompt, so that the same strings need not be hashed anew for each."""
    text = prompt.rstrip() if strip else prompt
    return text[:head], text[head:]


def _whole(request: dict[str, Any]) -> Parts:
    """Context and continuation; the context's trailing blanks are the continuation's."""
    prompt, continuation = request["args"][:2]
    return *context_of(request), prompt[len(prompt.rstrip()) :] + continuation


def head_of(request: dict[str, Any]) -> str:
    """What a prompt may share with its neighbours, such as few-shot examples: all before the last question of a chat,
    or all up to the last blank line.

    It follows from this prompt alone, so that no score depends on which other questions are asked.
    """
    prompt: str = request["args"][0]
    if (length := request.get("head")) is not None:
        return prompt[:length]
    return prompt[: prompt.rfind("\n\n") + 2] if "\n\n" in prompt else ""


def _shared(tokens: list[int], head: list[int]) -> int:
    """How many tokens the prompt and its head, encoded alone, begin with alike; 0 where that is not worth a call."""
    shared = min(alike(tokens, head), len(tokens) - 1)
    return shared if shared >= FEWEST_SHARED else 0


def _pair(request: dict[str, Any], encoded: Encoded, limit: int, prefix_token: int) -> dict[str, Any]:
    context, whole = context_of(request), encoded[_whole(request)]
    if not any(context):
        head = [prefix_token]
        tail = whole[1:] if whole[:1] == head else whole
    else:
        head = encoded[context]
        tail = whole[len(head) :]
    if not tail:
        raise InputError(f"task {request['task']}: an answer of document {request['doc']} has no tokens of its own")
    if len(tail) > limit:
        raise InputError(
            f"task {request['task']}: an answer of document {request['doc']} has {len(tail)} tokens,"
            f" the context only {limit}"
        )
    room = limit + 1 - len(tail)  # as lm-eval: the last token is only predicted, it never goes through the model
    cut = len(head) > room
    shared = 0 if cut else _shared(head, encoded[head_of(request),])
    line = {
        "context": head[-room:] if cut else head,
        "shared": shared,
        "continuation": tail,
        "target": request["args"][1],
    }
    return {**line, "truncated": True} if cut else line


def _rolling(tokens: list[int], limit: int, prefix_token: int) -> Iterable[dict[str, Any]]:
    """lm-eval's rolling windows with one token of context: each token is scored once.

    The first window predicts up to `limit` tokens from the prefix token; a later one predicts the next
    `limit` tokens, or the last fewer of them with as much context as fits. `limit` tokens of each go through the
    model, the last one is only predicted.
    """
    yield {"context": [prefix_token], "continuation": tokens[:limit]}
    for start in range(limit, len(tokens), limit):
        end = min(start + limit, len(tokens))
        begin = end - limit - 1
        yield {"context": tokens[begin:start], "continuation": tokens[start:end]}


def _generation(request: dict[str, Any], encoded: Encoded, limit: int, prefix_token: int) -> dict[str, Any]:
    options = request["args"][1]
    if options.get("do_sample"):
        raise InputError(f"task {request['task']} samples its answers; only greedy generation is supported")
    stop = options.get("until") or []
    named = (options[name] for name in ANSWER_LENGTHS if options.get(name) is not None)
    longest = int(next(named, LONGEST_ANSWER))
    if longest >= limit:
        raise InputError(
            f"task {request['task']} lets an answer have {longest:,} tokens, which leaves no room for a prompt in a"
            f" context of {limit:,}"
        )
    tokens = encoded[context_of(request)] or [prefix_token]
    room = limit - longest
    cut = len(tokens) > room
    line = {
        "tokens": tokens[-room:],
        "shared": 0 if cut else _shared(tokens, encoded[head_of(request),]),
        "max_tokens": longest,
        "stop": [s for s in ([stop] if isinstance(stop, str) else stop) if s],
    }
    return {**line, "truncated": True} if cut else line
