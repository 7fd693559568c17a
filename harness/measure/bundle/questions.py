"""What a phone is asked without a host: the usual questions, but for what tells too much of its owner."""

import re
from collections.abc import Mapping

import msgspec

from harness.measure.devices.phone import facts as usual_facts
from harness.measure.devices.phone import state as usual_state
from harness.measure.devices.phone.asking import Answer, answers
from harness.values import DeviceFacts, PhoneSpec, PhoneState

PROPERTIES = "ro.product ro.soc ro.board ro.build ro.hardware"
"""Beginnings of the properties that are kept. Others tell numbers of the phone, its SIM and its networks."""
SERIAL = "serial"
FACTS = {
    **usual_facts.QUESTIONS,
    "properties": "getprop | grep -E '^\\[(" + "|".join(map(re.escape, PROPERTIES.split())) + ")\\.'",
    SERIAL: 's=$(getprop ro.serialno); [ -z "$s" ] || printf %s "$s" | sha256sum',
}
APPS = "top"
STATE = {name: command for name, command in usual_state.QUESTIONS.items() if name != APPS}


def read_facts(text: bytes, mark: str, device: str, spec: PhoneSpec) -> DeviceFacts:
    """What the phone said of itself."""
    said = _said(text, FACTS, mark)
    facts = usual_facts.facts_from(said, device, spec)
    found = re.match(r"([0-9a-f]{64})\b", said[SERIAL].text.strip())
    if found is None:
        return facts
    missing = {field: why for field, why in facts.missing.items() if field != "host_hash"}
    return msgspec.structs.replace(facts, host_hash=found.group(1)[:16], missing=missing)


def read_state(text: bytes, mark: str, spec: PhoneSpec) -> PhoneState:
    """How the phone was before the first job."""
    said: Mapping[str, Answer] = {**_said(text, STATE, mark), APPS: Answer(why_not="not asked")}
    return usual_state.state_from(said, spec)


def _said(text: bytes, questions: Mapping[str, str], mark: str) -> dict[str, Answer]:
    return answers(text.decode("utf-8", errors="replace"), questions, mark)
