"""The kernels compiled for accelerators that are not here: what they need of one, and that nothing spills."""

import re
import subprocess
from dataclasses import dataclass, field

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is installed on Linux only")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.backends.nvidia.compiler import get_ptxas  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from adgram.kernels import attention, gather, quantisation, selection  # noqa: E402
from adgram.kernels.ops import ReferenceOps, ops_for  # noqa: E402


@dataclass(frozen=True)
class Compiled:
    """A kernel as the decode launches it."""

    name: str
    kernel: object
    signature: dict[str, str]  # by argument; those not named are constants
    constants: dict[str, object] = field(default_factory=dict)
    warps: int = 4
    stages: int = 3  # Triton's default


def _attention(dtype):
    pointers = dict.fromkeys(
        ("query", "context_key", "context_value", "suffix_key", "suffix_value", "out"), f"*{dtype}"
    )
    return Compiled(
        f"attention {dtype}",
        attention.shared_context_attention_kernel,
        {**pointers, "scale": "fp32", "beams": "i32", "tokens": "i32", "suffix_tokens": "i32"},
        {
            "heads": 4,
            "width": 64,
            "block_beams": attention.BLOCK_BEAMS,
            "block_tokens": attention.BLOCK_TOKENS,
            "block_width": 64,
            "interpreted": False,
        },
        stages=1,
    )


def _rows(dtype, lift):
    signature = {"log_probs": "*fp32", "logits": f"*{dtype}", "live": "*u8", "lift": "*fp32", "totals": "*fp32"}
    return Compiled(
        f"row candidates {dtype}{' with lift' if lift else ''}",
        selection.row_candidates_kernel,
        {**signature, "keys": "*i64", "codes": "i32"},
        {"keep": 128, "has_lift": lift, "block_codes": 256, "stages": 8},
    )


def _codes(dtype):
    return Compiled(
        f"residual codes {dtype}",
        quantisation.residual_codes_kernel,
        {
            "vectors": f"*{dtype}",
            "codebooks": f"*{dtype}",
            "out": "*i32",
            "count": "i32",
            "levels": "i32",
            "codes": "i32",
        },
        {
            "width": quantisation.WIDEST,
            "block_vectors": quantisation.BLOCK_VECTORS,
            "block_codes": quantisation.BLOCK_CODES,
            "block_width": quantisation.WIDEST,
        },
        warps=8,
    )


KERNELS = [
    _attention("fp32"),
    _attention("bf16"),
    _rows("fp32", lift=False),
    _rows("bf16", lift=True),
    Compiled(
        "merge",
        selection.merge_kernel,
        {"keys": "*i64", "out": "*i64", "lists": "i32"},
        {"fan": selection.FAN, "keep": 128, "stages": 7},
    ),
    Compiled(
        "live children",
        gather.live_children_kernel,
        {
            "keys": "*i64",
            "admitted_before": "*i32",
            "prefixes": "*i64",
            "out": "*u8",
            "span": "i64",
            "count": "i32",
            "steps": "i32",
        },
        {"codes": 256, "block_codes": gather.BLOCK_CODES},
    ),
    _codes("fp32"),
    _codes("bf16"),
]


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("one", KERNELS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_kernel_compiles_without_spilling(one, capability, tmp_path):
    """For an A100 (sm_80) and an H100 (sm_90): registers, shared memory and spills are printed, and nothing spills."""
    source = ASTSource(one.kernel, {**one.signature, **dict.fromkeys(one.constants, "constexpr")}, one.constants)
    built = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": one.warps, "num_stages": one.stages, "enable_fp_fusion": True},
    )
    ptx = tmp_path / "kernel.ptx"
    ptx.write_text(built.asm["ptx"])
    target = re.search(r"\.target (\w+)", built.asm["ptx"]).group(1)
    command = [get_ptxas(capability).path, "-v", f"--gpu-name={target}", str(ptx), "-o", str(tmp_path / "kernel.cubin")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stderr
    spilled = [int(count) for count in re.findall(r"(\d+) bytes spill", said)]
    registers = int(re.search(r"Used (\d+) registers", said).group(1))
    print(
        f"{one.name}, {target}, {one.warps} warps: {registers} registers a thread, {built.metadata.shared} bytes of "
        f"shared memory, {sum(spilled)} bytes spilled"
    )
    assert len(spilled) == 2 and sum(spilled) == 0


def test_ops_are_chosen_by_device():
    """CUDA gets the kernels, every other device their naive twins."""
    assert isinstance(ops_for(torch.device("cpu")), ReferenceOps)
    assert type(ops_for(torch.device("cuda"))).__name__ == "TritonOps"
