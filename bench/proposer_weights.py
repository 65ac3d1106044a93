"""Trains the benchmark's transformer on a marketplace's histories for a few epochs, so that it can be timed as trained.

A history is a start token and three codes an item, from the tokenizer of trained models. The last item of each user is
kept back as the answer. This is a network to measure speed and bytes with: what a served one can do is another study.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from transformer import SPECIAL, START, Shape, random_transformer

from adgram.core.marketplace import Marketplace
from adgram.generative.tokenizer import load_encoder
from adgram.generative.training.sequences import user_sequences

EPOCHS = 5
BATCH = 32


def token_sequences(marketplace: Path, tokenizer: Path, shape: Shape, users: int) -> tuple[list[list[int]], np.ndarray]:
    """Users' histories as tokens, and every item's semantic ID [N, L]."""
    market = Marketplace(marketplace)
    items = market.items()
    sids = np.array([entry.semantic_id for entry in load_encoder(tokenizer).encode(items)], dtype=np.int32)
    row = {item.item_id: number for number, item in enumerate(items)}
    offsets = SPECIAL + np.arange(shape.levels) * shape.codes
    room = shape.prompt // shape.levels + 1  # items of a full prompt, and the answer
    sequences = []
    for user in user_sequences(market):
        rows = [row[item_id] for item_id in user.item_ids if item_id in row][-room:]
        if len(rows) > 1:
            sequences.append([START, *(sids[rows] + offsets).ravel().tolist()])
    order = np.random.default_rng(0).permutation(len(sequences))[:users]
    return [sequences[place] for place in order.tolist()], sids


def loss_of(model: torch.nn.Module, batch: Tensor, shape: Shape) -> Tensor:
    """Mean cross-entropy of every code among the codes of its level. batch [B, T] padded with 0 behind."""
    states = model(batch[:, :-1])
    losses = []
    for level in range(shape.levels):
        target = batch[:, 1 + level :: shape.levels]
        first = SPECIAL + level * shape.codes
        logits = model.logits(states[:, level :: shape.levels], level)[:, : target.shape[1]]
        real = target > 0
        losses.append(functional.cross_entropy(logits[real], target[real] - first, reduction="sum"))
    return torch.stack(losses).sum() / (batch[:, 1:] > 0).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("marketplace", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path, help="file for the weights, codes, prompts and answers")
    parser.add_argument("--users", type=int, default=5_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape, rng = Shape(), np.random.default_rng(1)
    sequences, sids = token_sequences(options.marketplace, options.tokenizer, shape, options.users)
    seen = sorted((sequence[: -shape.levels] for sequence in sequences), key=len)
    batches = [seen[place : place + BATCH] for place in range(0, len(seen), BATCH)]
    model = random_transformer(shape, 0).requires_grad_(True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=EPOCHS * len(batches), pct_start=0.1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    unfinished = options.out.with_suffix(".unfinished")
    if unfinished.exists():  # a run that was stopped goes on after its last whole epoch
        kept = torch.load(unfinished)
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        schedule.load_state_dict(kept["schedule"])
        done = kept["epochs"]
    for epoch in range(done, EPOCHS):
        started, total = time.monotonic(), 0.0
        for place in track(rng.permutation(len(batches)).tolist(), f"epoch {epoch + 1} of {EPOCHS}"):
            length = max(map(len, batches[place]))
            batch = torch.tensor([sequence + [0] * (length - len(sequence)) for sequence in batches[place]])
            loss = loss_of(model, batch, shape)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        took = time.monotonic() - started
        print(f"epoch {epoch + 1}: {total / len(batches):.3f} nats a code, {took:.0f} s", flush=True)
        state = {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(), "epochs": epoch + 1}
        torch.save({"model": model.state_dict(), **state}, unfinished)
    notes = f"weights trained {EPOCHS} epochs on {len(sequences):,} histories of {options.marketplace.name}"
    torch.save({"model": model.state_dict(), "sids": sids, "sequences": sequences, "notes": notes}, options.out)
    unfinished.unlink()


if __name__ == "__main__":
    main()
