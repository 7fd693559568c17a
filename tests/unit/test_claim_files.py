"""Claim files: strict, and what is wrong is said with file, line, path and the known choices."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claim_files import list_claims, load_claims
from harness.config import PROJECT
from harness.errors import ConfigError, InputError, UnknownNameError
from harness.published import ClaimFile, printed, printed_change

GOOD = """\
name: small
title: A small publication
sources:
  page: {title: A page, url: "https://example.org/page"}
models:
  tiny:
    title: Tiny
    parameters: 64320
    hidden: 64
    intermediate: 128
    layers: 1
    heads: 4
    kv_heads: 2
    head: 16
    vocabulary: 426
    tied: true
schemes:
  wide: {title: 16 bits, linear_bits: 16, embedding_bits: 16, norm_bits: 16}
  narrow: {title: 4 bits, linear_bits: 4, group: 32, scale_bits: 16, embedding_bits: 8, output_bits: 8}
device:
  title: A phone
  memory_bandwidth_bytes_s: 1e9
  source: page
conditions:
  - {name: device, status: stated, value: A phone, source: page}
  - {name: threads, status: unknown}
columns:
  decode_tok_s: {unit: tok/s}
  prefill_tok_s: {unit: tok/s, inverse_of: ttft_s}
  ttft_s: {unit: s}
  size_bytes: {unit: MB}
rows:
  base:
    model: tiny
    scheme: wide
    values: {decode_tok_s: "10.0", size_bytes: "1.28"}
  cut:
    model: tiny
    scheme: narrow
    baseline: base
    values: {decode_tok_s: "20.0", size_bytes: "0.64"}
    changes: {decode_tok_s: "2.0x", size_bytes: "-50%"}
tasks:
  - {name: Quiz, measure: acc, values: {base: "50.0", cut: "49.0"}}
claims:
  smaller:
    source: page
    statement: Half the size.
    printed: 50%
    metric: size_bytes
    expressed: reduction
    figure: "50"
    rows: [cut]
  speed:
    source: page
    statement: Twenty tokens a second.
    printed: 20 tok/s
    metric: decode_tok_s
    expressed: value
    unit: tok/s
    figure: "20"
    rows: [cut]
"""


def load(folder: Path, text: str | bytes) -> ClaimFile:
    path = folder / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_claims(str(path))


def line_of(text: str, needle: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if needle in line)


def test_a_good_file_loads(tmp_path: Path) -> None:
    file = load(tmp_path, GOOD)
    assert (file.name, file.file) == ("small", "c.yaml")
    assert file.rows["cut"].values["decode_tok_s"] == "20.0"
    assert file.claims["smaller"].form == "equals"


def test_the_projects_own_files_load_by_name() -> None:
    assert {"llama32-quantized", "llama32-press", "litert-qwen25-1.5b"} <= set(list_claims())
    for name in list_claims():
        assert load_claims(name).name == name


def test_the_working_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "suites" / "claims"
    folder.mkdir(parents=True)
    (folder / "llama32-press.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert load_claims("llama32-press").name == "small"


def test_the_press_repeats_the_cards_figures() -> None:
    press, card = load_claims("llama32-press"), load_claims("llama32-quantized")
    for name, row in press.rows.items():
        assert row.values.items() <= card.rows[name].values.items()
        assert press.models[row.model] == card.models[row.model]
    assert [claim.must_hold for claim in card.claims.values()].count(True) == 3


WRONG = [
    ("title: A small", "titel: A small", "titel", "did you mean 'title'"),
    ("name: small", "name: small\nfile: x", "file: x", "unknown key 'file'"),
    ("    figure: \"50\"", "    figuer: \"50\"", "figuer", "did you mean 'figure'"),
    ("figure: \"50\"", "figure: 50", "figure: 50", "in quotes"),
    ('"10.0", size', "10.0, size", "10.0, size", "in quotes"),
    ("figure: \"50\"", "figure: fifty", "fifty", "no figure such as"),
    ("layers: 1", "layers: none", "layers: none", "expected whole number"),
    ("metric: size_bytes", "metric: size_byte", "size_byte\n", "did you mean 'size_bytes'"),
    ("source: page\n    statement: Half", "source: paeg\n    statement: Half", "paeg", "did you mean 'page'"),
    ("    source: page\n    statement: Half", "    statement: Half", "smaller:", "'source' is missing"),
    ("    rows: [cut]\n  speed", "    rows: [cot]\n  speed", "[cot]", "did you mean 'cut'"),
    ("    rows: [cut]\n  speed", "    rows: []\n  speed", "rows: []", "'rows' is empty"),
    ("    rows: [cut]\n  speed", "    rows: [cut, cut]\n  speed", "[cut, cut]", "is there twice"),
    ("    rows: [cut]\n  speed", "    rows: [base]\n  speed", "expressed: reduction", "needs a baseline"),
    ("model: tiny\n    scheme: narrow", "model: tniy\n    scheme: narrow", "tniy", "did you mean 'tiny'"),
    ("scheme: narrow", "scheme: narow", "scheme: narow", "did you mean 'narrow'"),
    ("baseline: base", "baseline: bass", "bass", "did you mean 'base'"),
    ("baseline: base", "baseline: cut", "baseline: cut", "its own baseline"),
    ("    baseline: base\n", "", "changes:", "need a baseline"),
    ('figure: "50"', 'figure: "50"\n    form: range', "form: range", "a 'range' needs 'to'"),
    ('figure: "50"', 'figure: "50"\n    form: range\n    to: "40"', 'to: "40"', "below its beginning"),
    ('figure: "50"', 'figure: "50"\n    to: "60"', 'to: "60"', "does not fit the form 'equals'"),
    ('figure: "50"', 'figure: "100"', 'figure: "100"', "leaves nothing"),
    ('figure: "50"', 'figure: "0"', 'figure: "0"', "not above zero"),
    ("unit: tok/s\n    figure", "figure", "speed:", "needs a unit"),
    ("unit: tok/s\n    figure", "unit: MB\n    figure", "unit: MB\n", "does not fit decode_tok_s (fitting: tok/s)"),
    ("unit: tok/s\n    figure", "unit: tokn\n    figure", "tokn", "unknown unit"),
    ("expressed: reduction", "expressed: reduction\n    unit: MB", "unit: MB\n", "has no unit"),
    ("expressed: value\n    unit: tok/s", "expressed: reduction", "expressed: reduction\n    figure: \"20\"", "higher"),
    ("expressed: reduction", "expressed: points", "expressed: points", "for accuracy"),
    ("expressed: reduction", "expressed: ratio", "expressed: ratio", "known: points, reduction, times, value"),
    ('figure: "50"', 'figure: "50"\n    aggregation: mean', "aggregation: mean", "needs several rows"),
    ('figure: "50"', 'figure: "50"\n    task: Quiz', "task: Quiz", "does not fit size_bytes"),
    ("metric: size_bytes\n    expressed: reduction", "metric: acc\n    expressed: points", "smaller:", "needs a task"),
    ("status: unknown", "status: unknow", "unknow}", "did you mean 'unknown'"),
    ("name: threads", "name: thread", "name: thread,", "did you mean 'threads'"),
    ("status: unknown", "status: unknown, value: 4", "value: 4", "is unknown and yet has a value"),
    ("status: stated, value: A phone,", "status: stated,", "status: stated", "has no value"),
    ("value: A phone, source: page", "value: A phone", "status: stated", "has no source"),
    ("{name: threads", "{name: device", "{name: device, status: unknown", "is there twice"),
    ("status: unknown}", "status: unknown, metrics: [decod]}", "[decod]", "unknown metric 'decod'"),
    ('"2.0x"', '"twice"', "twice", "is no change such as"),
    ('"2.0x"', '"-2.0x"', "-2.0x", "a factor has no sign"),
    ('"2.0x"', '"0.0x"', "0.0x", "leaves nothing"),
    ('"-50%"', '"-100%"', "-100%", "leaves nothing"),
    ('changes: {decode_tok_s: "2.0x"', 'changes: {ttft_s: "2.0x"', "ttft_s: \"2.0x\"", "has no figure for ttft_s"),
    ('{decode_tok_s: "10.0"', '{decode_tok_s: "0.0"', '"0.0"', "not above zero"),
    ('{decode_tok_s: "20.0"', '{decode_tok_s: "-20.0"', '"-20.0"', "not above zero"),
    ('{decode_tok_s: "20.0"', '{decode: "20.0"', 'decode: "20.0"', "did you mean 'decode_tok_s'"),
    ("size_bytes: {unit: MB}", "size_bytes: {unit: s}", "size_bytes: {unit: s}", "does not fit size_bytes"),
    ("inverse_of: ttft_s", "inverse_of: ttf_s", "ttf_s", "did you mean 'ttft_s'"),
    ("source: page\nconditions", "source: pag\nconditions", "source: pag\n", "did you mean 'page'"),
    ("  source: page\nconditions", "conditions", "memory_bandwidth", "needs a source"),
    ("scale_bits: 16,", "scale_bits: 16, lora_rank: 8,", "lora_rank", "need each other"),
    ("tied: true", "tied: false", "scheme: wide", "is not tied"),
    ("kv_heads: 2", "kv_heads: 3", "kv_heads: 3", "no multiple"),
    ('cut: "49.0"', 'cat: "49.0"', "cat:", "did you mean 'cut'"),
    ('cut: "49.0"', 'cut: "-49.0"', "-49.0", "negative"),
    ("url: \"https://example.org/page\"", "url: \"javascript:alert(1)\"", "javascript", "no address"),
    ("  smaller:", "  \"<script>\":", "<script>", "is no name"),
    ("  smaller:", "  \"a\\nb\\e[31m\":", "a\\nb", "claims.a�b�[31m: "),
    ("expressed: reduction", "expressed: \"a\\nb\"", "expressed: \"a", "unknown expressed 'a\\nb'"),
    ("  tiny:", "  \"../tiny\":", "../tiny", "is no name"),
    ("name: small", "name: \"a\\u202eb\"", "name:", "is no name"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "needle", "said"), WRONG)
def test_a_wrong_file_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, needle: str, said: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    line = text[: text.index(needle)].count("\n") + 1
    assert f"c.yaml:{line}:" in message, message


def test_an_original_must_exist(tmp_path: Path) -> None:
    for inside, said in (
        ("{source: pag, printed: 50%}", "did you mean 'page'"),
        ("{source: page, printed: 50%, unit: mb}", "unknown unit 'mb'"),
        ('{source: page, printed: 50%, to: "4"}', "'to' needs a 'figure'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)):
            load(tmp_path, GOOD.replace('    figure: "50"', f'    figure: "50"\n    original: {inside}'))


def test_a_task_that_is_claimed_must_exist_and_have_a_baseline_above_zero(tmp_path: Path) -> None:
    claim = GOOD.replace(
        "metric: size_bytes\n    expressed: reduction", "metric: acc\n    expressed: times\n    task: Quiz"
    )
    assert load(tmp_path, claim).claims["smaller"].task == "Quiz"
    with pytest.raises(ConfigError, match="did you mean 'Quiz'"):
        load(tmp_path, claim.replace("task: Quiz", "task: Qiuz"))
    with pytest.raises(ConfigError, match="no ratio can be formed"):
        load(tmp_path, claim.replace('base: "50.0"', 'base: "0.0"'))


@pytest.mark.parametrize("baseline", ["cut", "other"])
def test_a_baseline_is_of_the_same_model_and_has_none_itself(tmp_path: Path, baseline: str) -> None:
    more = GOOD.replace("tasks:", f"  third:\n    model: tiny\n    baseline: {baseline}\ntasks:").replace(
        "schemes:", "  big: {title: B, parameters: 1, hidden: 1, intermediate: 1, layers: 1, heads: 1, kv_heads: 1, "
        "head: 1, vocabulary: 1, tied: true}\nschemes:", 1
    ).replace("  third:", "  other: {model: big}\n  third:")  # fmt: skip
    with pytest.raises(ConfigError, match="has a baseline itself" if baseline == "cut" else "of another model"):
        load(tmp_path, more)


def test_duplicate_keys_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:\d+: duplicate key .name"):
        load(tmp_path, GOOD + "\nname: again\n")
    task = '  - {name: Quiz, measure: acc, values: {base: "50.0", cut: "49.0"}}\n'
    with pytest.raises(ConfigError, match="'Quiz' is there twice"):
        load(tmp_path, GOOD.replace(task, task + task))


def test_a_file_without_figures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to audit"):
        load(tmp_path, 'name: n\ntitle: t\nsources: {p: {title: t, url: "https://e.org"}}\n')


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'llama32-press'"):
        load_claims("lama32-press")
    with pytest.raises(UnknownNameError, match=r"unknown claim file 'nowhere/c\.yaml'"):
        load_claims("nowhere/c.yaml")


@given(st.data())
def test_any_damage_is_an_error_for_people(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    lines[index] = data.draw(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(
                ["", "  x: 1", "- a", "rows: 3", "claims: []", "columns: {a: 1}", "tasks: {}", "models: x"]
            ),
            st.just(lines[index].replace('"', "")),
            st.just(re.sub(r":.*", ": []", lines[index])),
        )
    )
    try:
        file = load(tmp_path_factory.mktemp("claims"), "\n".join(lines).encode("utf-8", "replace"))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert file.rows or file.claims


@given(st.decimals(min_value="0.001", max_value="99999", places=3), st.integers(0, 3), st.booleans())
def test_a_figure_is_within_half_a_unit_of_its_last_digit(value: object, places: int, commas: bool) -> None:
    exact = float(str(value))
    text = f"{exact:,.{places}f}" if commas else f"{exact:.{places}f}"
    one = printed(text)
    assert one.low - 1e-9 <= exact <= one.high + 1e-9
    assert one.high - one.low == pytest.approx(10.0**-places)


@given(st.decimals(min_value="0.1", max_value="999", places=1), st.sampled_from(["", "-", "−", "+"]))
def test_a_change_in_percent_keeps_its_sign_and_interval(value: object, sign: str) -> None:
    kind, one = printed_change(f"{sign}{value}%")
    expected = -float(str(value)) if sign in ("-", "−") else float(str(value))
    assert kind == "percent"
    assert one.value == pytest.approx(expected)
    assert one.low < one.value < one.high
    assert one.half == pytest.approx(0.05)


def test_the_projects_own_files_lie_where_they_are_found() -> None:
    assert {path.stem for path in (PROJECT / "suites" / "claims").glob("*.yaml")} <= set(list_claims())
