"""What a suite may set, and what bench-compress is told of it."""

import msgspec
import pytest

from harness.build.gguf_packing import has_no_gguf
from harness.build.recipes import SETTINGS, compression_of
from harness.build.recipes.qlora import Settings as Qlora
from harness.build.recipes.spinquant import Settings as SpinQuant
from harness.errors import InputError
from harness.values import FileSource, Model, Variant

MODEL = Model(name="m", source=FileSource(path="/m.gguf"), label="m")


@pytest.mark.parametrize(("recipe", "kind"), [("qlora", Qlora), ("spinquant", SpinQuant)])
def test_a_suite_may_set_what_the_recipe_reads(recipe: str, kind: type[msgspec.Struct]) -> None:
    assert set(SETTINGS[recipe]) == set(kind.__struct_fields__)


def test_every_setting_reaches_the_program_with_its_default() -> None:
    found = compression_of(Variant(name="v", model=MODEL, recipe="spinquant", settings={"r4": True, "steps": 3}))
    assert found is not None and found.text is None and found.drawn_tokens == 64 * 512
    assert found.settings["rotates_down"] is True and found.settings["steps"] == 3 and found.settings["samples"] == 64
    assert "text" not in found.settings and "r4" not in found.settings


def test_a_text_of_the_users_is_read_instead_of_the_models_own() -> None:
    found = compression_of(Variant(name="v", model=MODEL, recipe="qlora", settings={"text": "/a.txt"}))
    assert found is not None and found.text == "/a.txt" and found.drawn_tokens == 0


def test_llama_cpps_types_make_no_checkpoint() -> None:
    assert compression_of(Variant(name="v", model=MODEL, recipe="ptq", settings={"weights": "q4_0"})) is None


def test_blocks_of_gguf_hold_32_weights_of_one_group() -> None:
    def with_group(group: int) -> Variant:
        return Variant(name="v", model=MODEL, recipe="spinquant", settings={"group": group})

    assert has_no_gguf(with_group(32)) is None and has_no_gguf(with_group(96)) is None
    assert has_no_gguf(with_group(48)) == "GGUF blocks hold 32 weights; groups of 48 are none"


@pytest.mark.parametrize("settings", [{"steps": -1}, {"samples": 0}, {"learning_rate": 0.0}, {"seed": "one"}])
def test_a_setting_that_cannot_be_is_named(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        compression_of(Variant(name="v", model=MODEL, recipe="spinquant", settings=settings))  # type: ignore[arg-type]
