"""Whether ours answers what PyTorch answers: fp32 against float64, int8 against fp32."""

import numpy as np
from decoding import ours, plain
from proposer_turns import Bench
from transformer import PlainTransformer

JUDGED = 2_000  # histories that int8 is judged on


def exactness(bench: Bench, rounds: int = 3) -> None:
    """Ours against PyTorch in float64, with room for one more beam to see which calls were close."""
    exact = PlainTransformer(bench.shape).double().eval()
    exact.load_state_dict(bench.model.state_dict())
    wrong = worst = invalid = 0.0
    known = set(bench.catalogue.trie.pack(bench.catalogue.sids).tolist())
    for number in range(rounds):
        for width in (32, 128):
            found = bench.request(bench.fp32, width)(number)
            truth = plain(exact.requires_grad_(False), bench.catalogue, bench.prompt(number), width)
            scores = dict(zip(truth.keys.tolist(), truth.log_probs.tolist(), strict=True))
            bar = min(scores.values())
            for key, log_prob in zip(found.keys.tolist(), found.log_probs.tolist(), strict=True):
                invalid += key not in known
                if key in scores:
                    worst = max(worst, abs(log_prob - scores[key]))
                else:
                    wrong += abs(log_prob - bar) > 1e-5
    how = f"against PyTorch in float64, {rounds} prompts, W=32 and 128"
    bench.report.add("fp32: beams not in the reference's top W", wrong, "beams", how, to_reach=0)
    bench.report.add("fp32: greatest difference of a score", worst, "nat", how, to_reach=1e-4)
    bench.report.add("fp32: invalid IDs", invalid, "IDs", how, to_reach=0)


def bytes_agree(bench: Bench) -> None:
    """Overlap of int8 beams with fp32 beams, and recall where answers are known."""
    report, catalogue = bench.report, bench.catalogue
    asked = bench.histories[:JUDGED]
    for width in (32, 128):
        shares: list[float] = []
        hits = np.zeros(2)
        for number, history in enumerate(asked):
            pair = [ours(each, catalogue, each.read_tokens(history), width) for each in (bench.fp32, bench.int8)]
            shares.append(len(np.intersect1d(pair[0].keys, pair[1].keys)) / len(pair[0].keys))
            if bench.answers is not None:
                answer = catalogue.trie.pack(bench.answers[number][None])[0]
                hits += [answer in each.keys[:10] for each in pair]
        how = f"{len(asked):,} histories, {bench.weights}"
        trained = bench.answers is not None
        report.add(
            f"W={width}: int8 beams that are fp32 beams", float(np.mean(shares)), "share", how, better="higher",
            to_reach=0.98 if trained else None,
        )  # fmt: skip
        if trained:
            recall = hits / len(asked)
            report.add(
                f"W={width}: R@10 lost to int8", float(abs(recall[0] - recall[1])), "recall",
                f"{how}; fp32 {recall[0]:.4f}, int8 {recall[1]:.4f}", to_reach=0.001,
            )  # fmt: skip
