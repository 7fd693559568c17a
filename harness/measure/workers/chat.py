"""A model's chat template as lm-eval wants it: a function from messages to a prompt.

The environment is that of Hugging Face tokenizers, for which these templates are written: sandboxed, blocks
trimmed, `raise_exception` and `strftime_now` known. The date is the job's and not today's.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

Messages = list[dict[str, str]]
DATE = "%d %b %Y"


class Generation(Extension):
    """`{% generation %}` marks what a model is trained on; a prompt holds what stands inside."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Prompt(str):
    """A rendered prompt, and how many of its characters come before the last question."""

    head: int


def chat_template(chat: dict[str, str]) -> Callable[..., str]:
    """What lm-eval calls with messages and `add_generation_prompt`; without it the last message stays open.

    Raises:
        ValueError: the template cannot be read, or refuses the messages.
    """
    today = datetime.strptime(chat["date"], DATE)  # noqa: DTZ007 - a day, no time
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = today.strftime
    try:
        template = environment.from_string(chat["template"])
    except TemplateError as error:
        raise ValueError(f"the model's chat template cannot be read: {error}") from None

    def rendered(messages: Messages, add_generation_prompt: bool) -> Prompt:
        text = template.render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            date_string=chat["date"],
            bos_token=chat["bos"],
            eos_token=chat["eos"],
        )
        prompt = Prompt(text if add_generation_prompt else _open_ended(text, messages[-1]["content"]))
        question = next(message["content"] for message in reversed(messages) if message["role"] == "user")
        prompt.head = max(prompt.rfind(question.strip()), 0)
        return prompt

    def apply(messages: Messages, add_generation_prompt: bool = True, **_: Any) -> Prompt:
        try:
            return rendered(messages, add_generation_prompt)
        except TemplateError as error:
            without = [message for message in messages if message["role"] != "system"]
            if without == messages:
                raise ValueError(f"the model's chat template refuses the prompt: {error}") from None
        # Some templates know no system role; lm-eval then leaves that message out, and so do we.
        return rendered(without, add_generation_prompt)

    return apply


def _as_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it stands: jinja's own filter writes `<` and `'` as they are safe in HTML, which no prompt is."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _open_ended(text: str, last: str) -> str:
    """The prompt up to the end of its last message, which the model is to go on with."""
    place = text.rfind(last.strip())
    if place < 0:
        raise ValueError("the model's chat template does not show the begun answer, which the model is to go on with")
    whole = last.lstrip()
    kept = whole if text[place : place + len(whole)] == whole else last.strip()
    return text[: place + len(kept)]
