"""The two-tower model that new items are compared with."""

import numpy as np
import torch

from adgram.generative.training.two_tower import TowerSettings, choices_of, fit_two_tower, person_of


def test_it_learns_whose_things_people_take_and_knows_new_items_by_their_content() -> None:
    """People who stay within one of two kinds are matched with an unmet item of their kind, by content alone."""
    rng = np.random.default_rng(0)
    kind = np.arange(40) % 2
    content = rng.normal(0.0, 0.4, (40, 8)).astype(np.float32) + np.eye(8, dtype=np.float32)[kind]
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    met = np.arange(30)  # items 30 … 39 are in nobody's history
    histories = [rng.choice(met[kind[met] == person % 2], 6) for person in range(60)]
    model = fit_two_tower(choices_of(histories, content), content, TowerSettings(width=8, epochs=20, batch=64))
    with torch.inference_mode():
        items = model.items(torch.from_numpy(content[30:])).numpy()
        for person in (0, 1):
            read = torch.from_numpy(person_of(histories[person], content)[None])
            scores = items @ model.people(read).numpy()[0]
            assert scores[kind[30:] == person].min() > scores[kind[30:] != person].max()


def test_a_person_without_a_past_is_read_as_zeros() -> None:
    """Nobody is an error: an empty history scores all items by what is left, the biases."""
    content = np.eye(4, dtype=np.float32)
    assert not person_of(np.empty(0, dtype=np.int64), content).any()
