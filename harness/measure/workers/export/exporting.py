"""A checkpoint to a `.pte` file: Meta's layout, ExecuTorch's own Llama, then its lowering."""

import json
import logging
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from executorch.devtools.backend_debug import get_delegation_info
from executorch.examples.models.llama import export_llama_lib as lib
from executorch.extension.llm.export.config.llm_config import (
    DtypeOverride,
    LlmConfig,
    ModelType,
    PreqMode,
)

from harness.measure.workers.export.hadamard import rotate_down
from harness.measure.workers.export.jobs import ExportJob
from harness.measure.workers.hf.ends import special_tokens
from harness.measure.workers.hf.errors import JobFailedError, ModelError
from harness.measure.workers.released.params import FILE as PARAMS
from harness.measure.workers.released.params import SCALE_FACTOR, Params
from harness.measure.workers.released.reading import FILE, Released, is_released
from harness.measure.workers.released.writing import released_state, write_state

SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
METHOD = "forward"


class Exported(msgspec.Struct, frozen=True):
    """What was made, as the exporter counted it."""

    delegates: dict[str, int]
    """Backend → calls of it in the program."""
    delegated_nodes: int
    """Operators that run in backends."""
    other_nodes: int
    """Operators that run on ExecuTorch's kernels."""
    operators: dict[str, int]
    """Operator of ExecuTorch's kernels → calls of it."""
    planned_bytes: tuple[int, ...]
    """Memory that the program plans for activations and its KV cache, allocated when it is loaded."""
    kv_bytes: int
    shape: dict[str, int]


def export(job: ExportJob) -> Exported:
    """Write the file; whole under its name, or not there.

    Raises:
        ModelError: the checkpoint cannot be read, or has what the program cannot say.
        JobFailedError: the file is there already, or cannot be written.
    """
    output = Path(job.output)
    if output.exists():
        raise JobFailedError(f"{output} is there already")
    logging.disable(logging.INFO)
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=output.parent))
    try:
        part = work / output.name
        made = _export(job, work, part)
        part.rename(output)
    except OSError as error:
        raise JobFailedError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


def _export(job: ExportJob, work: Path, part: Path) -> Exported:
    params, folder = _prepared(Path(job.model), work)
    if job.context > _trained(params):
        raise ModelError(f"a context of {job.context} is more than the {_trained(params)} tokens it was trained for")
    config = config_of(job, params, folder)
    manager = lib._prepare_for_llama_export(config)
    if (scheme := params.scheme) is not None:
        if scheme.rotates_down:
            rotate_down(manager.model, params.inner)
        for module in manager.model.modules():
            if hasattr(module, "adaptor"):
                module.adaptor.scale = scheme.lora_scale
    exported = manager.export()
    exported.run_canonical_optimizations()
    builder = _lowered(exported, config)
    made = _counted(builder, params, job)
    builder.save_to_pte(str(part))
    return made


def _trained(params: Params) -> int:
    from harness.measure.workers.released.params import config_of as transformers_config

    return int(transformers_config(params).max_position_embeddings)


def _prepared(source: Path, work: Path) -> tuple[Params, Path]:
    """Shape and folder of a release; one is written into `work` where the checkpoint is none."""
    if is_released(source):
        weights = Released(source)
        weights.check()
        if weights.begins_with_a_float() and not weights.tied:
            return weights.params, source
        params, state = weights.params, weights.state()
    else:
        params, state = released_state(source)
    folder = work / "release"
    folder.mkdir()
    write_state(folder, params, state)
    return params, folder


def config_of(job: ExportJob, params: Params, folder: Path) -> LlmConfig:
    """What Meta's recipes set, with this job's context, numbers and delegate."""
    bos, ends = special_tokens(Path(job.model))
    config = LlmConfig()
    # ExecuTorch scales RoPE of Llama 3.2 by 32 whatever params.json says, that of 3.1 as it says.
    own = params.rope_scale_factor not in (None, SCALE_FACTOR)
    config.base.model_class = ModelType.llama3_1 if own else ModelType.llama3_2
    config.base.checkpoint, config.base.params = str(folder / FILE), str(folder / PARAMS)
    known = {"get_eos_ids": ends} | ({} if bos is None else {"get_bos_id": bos})
    config.base.metadata = json.dumps(known)
    config.model.use_kv_cache = config.model.use_sdpa_with_kv_cache = True
    config.model.dtype_override = DtypeOverride[SHORT[job.dtype]]
    config.export.max_seq_length = config.export.max_context_length = job.context
    config.debug.generate_full_logits = job.full_logits
    config.backend.xnnpack.enabled = config.backend.xnnpack.extended_ops = job.delegate == "xnnpack"
    config.backend.xnnpack.enable_bf16 = job.dtype == "bfloat16"
    if (scheme := params.scheme) is not None:
        config.base.preq_mode = PreqMode.preq_8da4w_out_8da8w
        config.base.preq_group_size = scheme.group
        config.base.preq_embedding_quantize = "8,0"
        config.base.use_lora = scheme.lora_rank
        config.quantization.use_qat = True  # how pre-quantized weights are read; R4 is put in afterwards
    return config


def _lowered(exported: Any, config: LlmConfig) -> Any:
    if config.backend.xnnpack.enabled:
        return lib._to_edge_and_lower_llama_xnnpack(
            exported,
            exported.modelname,
            [],
            None,
            [],
            None,
            xnnpack_extended_ops=True,
            enable_bf16=config.backend.xnnpack.enable_bf16,
        )
    return lib._to_edge_and_lower_llama(
        exported,
        exported.modelname,
        [],
        None,
        [],
        None,
        dtype_override=config.model.dtype_override.value,
        enable_dynamic_shape=True,
        use_kv_cache=True,
    )


def _counted(builder: Any, params: Params, job: ExportJob) -> Exported:
    info = get_delegation_info(builder.edge_manager.exported_program().graph_module)
    plan = next(p for p in builder.export_program._emitter_output.program.execution_plan if p.name == METHOD)
    names = [f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators]
    calls, delegates = Counter[str](), Counter[str]()
    for chain in plan.chains:
        for instruction in chain.instructions:
            args = instruction.instr_args
            if (op := getattr(args, "op_index", None)) is not None:
                calls[names[op]] += 1
            elif (delegate := getattr(args, "delegate_index", None)) is not None:
                delegates[plan.delegates[delegate].id] += 1
    width = {"float32": 4, "float16": 2, "bfloat16": 2}[job.dtype]
    return Exported(
        delegates=dict(sorted(delegates.items())),
        delegated_nodes=info.num_delegated_nodes,
        other_nodes=info.num_non_delegated_nodes,
        operators=dict(sorted(calls.items())),
        planned_bytes=tuple(int(size) for size in plan.non_const_buffer_sizes if size),
        shape={
            "layers": params.n_layers,
            "embedding": params.dim,
            "heads": params.n_heads,
            "kv_heads": params.n_kv_heads,
            "vocabulary": params.vocab_size,
            "context_trained": _trained(params),
        },
        kv_bytes=2 * params.n_layers * job.context * params.n_kv_heads * params.head * width,
    )
