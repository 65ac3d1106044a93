"""The compiled library: found beside this file, refused where the CPU cannot run it."""

import ctypes
import importlib.machinery
from ctypes import POINTER, c_double, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path

ABI = 5
INSTRUCTION_SETS = {1: "AVX2", 2: "AVX-512"}

floats = POINTER(c_float)


class ModelParts(ctypes.Structure):
    """Mirrors the struct of the same name in native.cpp."""

    _fields_ = (
        *((name, c_int32) for name in ("width", "heads", "levels", "codes", "longest", "shared")),
        *((name, c_int32) for name in ("prompt_layers", "code_layers", "tokens", "first_code")),
        ("epsilon", c_float),
        *((name, POINTER(c_void_p)) for name in ("prompt", "code", "head")),
        *((name, c_void_p) for name in ("input", "query")),
        *((name, floats) for name in ("token", "position", "level", "norm_scale", "norm_shift")),
    )


class TrieParts(ctypes.Structure):
    """Mirrors the struct Trie of native.h."""

    _fields_ = (
        *((name, c_void_p) for name in ("root", "ranges", "occupied", "keys", "slots", "sids")),
        *((name, c_int64) for name in ("known", "span", "first_span", "leaves", "packed", "thin")),
        *((name, c_int32) for name in ("page", "codes", "levels")),
    )


_SIGNATURES = {
    "adgram_level": (c_int, ()),
    "adgram_set_level": (c_int, (c_int,)),
    "adgram_fma_peak": (c_double, (c_double,)),
    "adgram_linear_new": (c_void_p, (c_void_p, c_void_p, c_int, c_int, c_int, c_int)),
    "adgram_linear_delete": (None, (c_void_p,)),
    "adgram_linear": (c_int, (c_void_p, c_void_p, c_void_p, c_int, c_void_p)),
    "adgram_workspace_new": (c_void_p, (c_int,)),
    "adgram_workspace_delete": (None, (c_void_p,)),
    "adgram_model_new": (c_void_p, (POINTER(ModelParts),)),
    "adgram_model_delete": (None, (c_void_p,)),
    "adgram_context_new": (c_void_p, ()),
    "adgram_context_delete": (None, (c_void_p,)),
    "adgram_prefill_tokens": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_int)),
    "adgram_prefill_vectors": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_void_p)),
    "adgram_search_new": (c_void_p, (c_void_p,)),
    "adgram_search_delete": (None, (c_void_p,)),
    "adgram_search_begin": (c_int, (c_void_p, POINTER(TrieParts), c_void_p, c_int64)),
    "adgram_search_live": (None, (c_void_p, c_void_p, c_int, c_int, c_int, c_void_p)),
    "adgram_search_masks_ns": (c_int64, (c_void_p,)),
    "adgram_search_computed": (c_int64, (c_void_p,)),
    "adgram_step": (c_int, (*(c_void_p,) * 6, c_int, c_int, *(c_void_p,) * 3)),
}


@cache
def load() -> ctypes.CDLL | None:
    """The library, or None where it was not compiled, is of another version, or the CPU has no AVX2 and FMA.

    Calls into it release the interpreter's lock.
    """
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native{suffix}")
        if not path.is_file():
            continue
        try:
            library = ctypes.CDLL(str(path))
            library.adgram_abi.restype = c_int
            if library.adgram_abi() != ABI or library.adgram_level() == 0:
                return None
        except (OSError, AttributeError):
            return None
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        return library
    return None


def instruction_set() -> str:
    """What the compiled path runs on here: "AVX-512", "AVX2", or "" where there is none."""
    library = load()
    return INSTRUCTION_SETS[library.adgram_level()] if library else ""
