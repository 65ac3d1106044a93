"""Runs inside a peer's environment: reads one JSON request a line, answers with the CPU milliseconds it took.

python peer_worker.py generate|int8|float32 FOLDER
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

SPECIAL, PAD, START, END = 3, 0, 1, 2


def gpt2(saved):
    """The benchmark's weights as a GPT-2."""
    state = {name: torch.from_numpy(saved[name]) for name in saved.files if name not in ("sids", "heads")}
    vocabulary, width = state["token.weight"].shape
    layers = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=len(state["position.weight"]), n_embd=width, n_layer=layers,
        n_head=int(saved["heads"]), n_inner=len(state["blocks.0.up.bias"]), activation_function="gelu",
        bos_token_id=START, eos_token_id=END, pad_token_id=PAD, tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    names = {
        "attention_norm": "ln_1", "qkv": "attn.c_attn", "out": "attn.c_proj", "feed_norm": "ln_2", "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    }  # fmt: skip
    theirs = {
        "transformer.wte.weight": state["token.weight"], "transformer.wpe.weight": state["position.weight"],
        "transformer.ln_f.weight": state["norm.weight"], "transformer.ln_f.bias": state["norm.bias"],
        "lm_head.weight": state["head.weight"],
    }  # fmt: skip
    for name, value in state.items():
        if name.startswith("blocks."):
            _, block, part, kind = name.split(".")
            transposed = kind == "weight" and "norm" not in part  # GPT-2 keeps [inputs, outputs]
            theirs[f"transformer.h.{block}.{names[part]}.{kind}"] = value.T.contiguous() if transposed else value
    missing = model.load_state_dict(theirs, strict=False)
    assert not missing.unexpected_keys
    assert not [key for key in missing.missing_keys if not key.endswith("attn.bias")]
    return model


def generate(folder):
    """transformers, beams held to the trie by a function of the prefix."""
    saved = np.load(folder / "weights.npz")
    model, sids = gpt2(saved), saved["sids"]
    codes = (saved["token.weight"].shape[0] - SPECIAL) // sids.shape[1]
    children = {}
    for tokens in (sids + SPECIAL + np.arange(sids.shape[1]) * codes).tolist():
        for depth, token in enumerate(tokens):
            children.setdefault(tuple(tokens[:depth]), set()).add(token)
    children = {prefix: sorted(below) for prefix, below in children.items()}

    def request(prompt, width):
        def allowed(_, tokens):
            return children[tuple(tokens[len(prompt) :].tolist())]

        model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.int64), num_beams=width,
            num_return_sequences=width, max_new_tokens=sids.shape[1], do_sample=False, prefix_allowed_tokens_fn=allowed,
        )  # fmt: skip

    return request


def ctranslate2(folder, kind):
    """CTranslate2's generator on the same weights, converted."""
    import ctranslate2
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    saved = np.load(folder / "weights.npz")
    model = gpt2(saved)
    words = [f"t{number}" for number in range(model.config.vocab_size)]
    plain, converted = folder / f"gpt2-{kind}", folder / f"ctranslate2-{kind}"
    model.save_pretrained(plain)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[PAD]))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=words[START], eos_token=words[END], unk_token=words[PAD]
    ).save_pretrained(plain)
    ctranslate2.converters.TransformersConverter(str(plain)).convert(str(converted), quantization=kind, force=True)
    generator = ctranslate2.Generator(str(converted), device="cpu", inter_threads=1, intra_threads=1, compute_type=kind)
    levels = saved["sids"].shape[1]

    def request(prompt, width):
        generator.generate_batch(
            [[words[token] for token in prompt]], beam_size=width, num_hypotheses=width, max_length=levels,
            min_length=levels, include_prompt_in_result=False,
        )  # fmt: skip

    return request


def main():
    way, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    request = generate(folder) if way == "generate" else ctranslate2(folder, way)
    for line in sys.stdin:
        asked = json.loads(line)
        with torch.inference_mode():
            started = time.process_time()
            request(asked["prompt"], asked["width"])
            print((time.process_time() - started) * 1e3, flush=True)


if __name__ == "__main__":
    main()
