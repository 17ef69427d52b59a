"""Where tokens are taught to look: the place must hold what they say.

    python -m pytest training/tests/test_looks.py
"""

import itertools

import torch

from training.data import Stream
from training.looks import anchor, back, unmark
from training.layers import Config
from training.model import AvisModel
from training.tokenizer import load
from training.train import Trainer


def batches(n):
    return itertools.islice(iter(Stream(0, 1, 5, draw=False, crowded=False)), n)


def by_question(batch):
    """(picture, first token, tokens) of every question of a batch."""
    start = 0
    for slots, width in batch.groups:
        for picture, members in itertools.groupby((slots // width).tolist()):
            size = len(list(members))
            yield picture, start, size
            start += size


def test_marks_leave_the_text_as_it_was():
    plain, spans, anchors = unmark(f"star{anchor(0)} 1 {back(0, 12)}.")
    assert plain == "star 1 12." and spans == [(7, 9, ("text", 0))] and anchors == {0: 4}


def test_a_token_looks_where_its_answer_stands():
    tokenizer, seen = load(), {"visual": 0, "place": 0, "text": 0}
    for batch in batches(40):
        total = batch.rows * batch.cols
        words = {}
        for at, word in zip(batch.word_at.tolist(), batch.word.tolist()):
            words.setdefault(at, set()).add(tokenizer.id_to_token(word).strip("Ġ"))
        for picture, start, size in by_question(batch):
            for i in range(size):
                look = int(batch.look[start + i])
                said = tokenizer.id_to_token(int(batch.target[start + i])).strip("Ġ") if look >= 0 else ""
                if look >= total:  # an earlier token: a condition, a count before or a choice
                    assert look - total <= i
                    seen["text"] += 1
                elif look >= 0:
                    row, col = divmod(look, batch.cols)
                    place = {f"r{(row + 1) // 2}", f"c{(col + 1) // 2}"}
                    # The tens of a subtraction that borrows are the only digits that no item carries.
                    assert said in words[picture * total + look] | place | {"1"}
                    seen["place" if said in place else "visual"] += 1
    assert min(seen.values()) > 100, seen


def test_looks_follow_the_pruned_tokens():
    torch.manual_seed(0)
    tokenizer = load()
    trainer = Trainer(AvisModel(Config()), tokenizer)
    batch = next(batches(1))
    total, edge = batch.rows * batch.cols, len(trainer.before)
    keep = torch.stack([torch.randperm(total)[: total // 2].sort().values for _ in range(batch.images)])
    looks = trainer.looks(batch, keep)
    for picture, start, size in by_question(batch):
        for i in range(start, start + size):
            look, want = int(batch.look[i]), -1
            if look >= total:
                want = edge + keep.shape[1] + len(trainer.after) + look - total
            elif look in keep[picture]:
                want = edge + keep[picture].tolist().index(look)
            assert looks[i] == want
