"""Batches for training and measuring, made in a worker process.

Flow: scene seeds -> scenes bucketed by grid -> questions -> token ids -> (pixels) -> Batch.
All pictures of a batch share one grid, so nothing is padded but the questions inside attention.
"""

import os
import random
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from training.layers import TOKEN_PX
from training.questions import ask
from training.tokenizer import DIRECT_SUFFIX, PREFIX_TEXT, THINK_SUFFIX, TURN_TEXT, load
from training.world import rng_for, sample_scene, token_words

DIRECT_SHARE = 0.15  # answers without reasoning
TOKENS_PER_BATCH = 1000  # visual tokens; decides how many pictures of a grid make a batch


@dataclass
class Batch:
    rows: int  # visual tokens down and across
    cols: int
    images: int
    word_at: torch.Tensor  # [W] picture * N + visual token of each world word
    word: torch.Tensor  # [W] its token id
    ids: torch.Tensor  # [M] question and response tokens of all questions end to end
    offset: torch.Tensor  # [M] position after the picture
    groups: list  # (slots, padded width) of the questions, see LanguageModel.forward
    target: torch.Tensor  # [M] next token where it belongs to the response, else -100
    weight: torch.Tensor  # [M] of that token in the loss
    look: torch.Tensor  # [M] where the next token stands: visual token n, else rows * cols + token of the question, else -1
    pixels: torch.Tensor | None  # uint8 [B, H, W, 3]
    next_index: int  # first scene seed not drawn yet: where to go on after an interruption


@dataclass
class Example:
    """One question of a fixed set, as evaluate.py wants it."""

    scene: object
    question: object
    prompt: list = field(default_factory=list)  # token ids from the question to "assistant\n"


def response_text(question, direct):
    answer = f"<answer>{question.answer}</answer><|im_end|>"
    # The space makes the first word the token that also stands for it in questions and visual tokens.
    return answer if direct else f"<think> {question.think}</think>{answer}"


def as_people_type(text, rng):
    """Now and then without the capital letter or the final punctuation mark."""
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.15 and text[-1] in "?.":
        text = text[:-1]
    return text


def looks(question, prompt, response, direct, visual_columns, visual_tokens):
    """For each token of prompt + response (tokenizers' encodings) the index it should be read off at:
    that of a visual token, or visual_tokens + that of an earlier token, or -1. See looks.py."""
    encodings = {"text": (prompt, 0, 0)}
    before = len(prompt.ids)
    if not direct:
        encodings["think"] = (response, len("<think> "), before)
    start = response_text(question, direct).index("<answer>") + len("<answer>")
    encodings["answer"] = (response, start, before)
    found, anchors = [-1] * (before + len(response.ids)), {}
    for part, (encoding, start, offset) in encodings.items():
        token_at = encoding.char_to_token
        spans, ends = question.marks[part]
        for n, end in ends.items():  # a word that was there in a part before keeps its first place
            anchors.setdefault(n, offset + token_at(start + end - 1))
        for first, end, (kind, *target) in spans:
            if kind == "visual":
                index = target[0] * visual_columns + target[1]
            elif target[0] in anchors:
                index = visual_tokens + anchors[target[0]]
            else:
                continue
            for token in range(token_at(start + first), token_at(start + end - 1) + 1):
                found[offset + token] = index
    return found


def make_batch(scenes, tokenizer, per_image, rng, draw, next_index):
    """scenes: list of (scene, generator) of one grid -> Batch; `draw` renders the pixels too."""
    if draw:
        from training.render import render
    rows, cols = scenes[0][0].height // TOKEN_PX, scenes[0][0].width // TOKEN_PX
    word_at, word, prompts, responses, pixels, asked = [], [], [], [], [], []
    for i, (scene, generator) in enumerate(scenes):
        for n, words in enumerate(token_words(scene)):
            for w in words:
                word_at.append(i * rows * cols + n)
                word.append(tokenizer.token_to_id(w.replace(" ", "Ġ")))
        for question in ask(scene, generator, per_image):
            direct = rng.random() < DIRECT_SHARE
            suffix = DIRECT_SUFFIX if direct else THINK_SUFFIX
            prompts.append(as_people_type(question.text, rng) + suffix + TURN_TEXT)
            responses.append(response_text(question, direct))
            asked.append((question, direct))
        if draw:
            pixels.append(render(scene, generator))
    prompts, responses = tokenizer.encode_batch(prompts), tokenizer.encode_batch(responses)
    look_at = [looks(q, p, r, direct, cols, rows * cols) for (q, direct), p, r in zip(asked, prompts, responses)]
    prompts, responses = [e.ids for e in prompts], [e.ids for e in responses]
    lengths = [len(p) + len(r) - 1 for p, r in zip(prompts, responses)]  # the last token is only a target
    by_length = [
        sorted(range(i * per_image, (i + 1) * per_image), key=lambda n: lengths[n]) for i in range(len(scenes))
    ]
    ids, offset, groups, target, weight, look = [], [], [], [], [], []
    answer_id = tokenizer.token_to_id("<answer>")
    for members in zip(*by_length):  # the shortest question of every picture, the second shortest, ...
        slots, width = [], max(lengths[n] for n in members)
        for i, n in enumerate(members):
            ids += prompts[n] + responses[n][:-1]
            target += [-100] * (len(prompts[n]) - 1) + responses[n]
            # Long lists are not to drown short answers, nor the reasoning its conclusion.
            size, start = len(responses[n]), responses[n].index(answer_id)
            weight += [0.0] * (len(prompts[n]) - 1) + [size**-0.5] * (start + 1) + [2 * size**-0.5] * (size - start - 1)
            look += look_at[n][1:]  # of the token that is predicted
            offset += range(lengths[n])
            slots += range(i * width, i * width + lengths[n])
        groups.append((torch.tensor(slots), width))
    tensor = lambda x: torch.tensor(x, dtype=torch.long)
    return Batch(
        rows, cols, len(scenes), tensor(word_at), tensor(word), tensor(ids), tensor(offset), groups,
        tensor(target), torch.tensor(weight), tensor(look), torch.from_numpy(np.stack(pixels)) if draw else None, next_index,
    )  # fmt: skip


class Stream(IterableDataset):
    """Endless batches of every `stride`-th scene of the training split from `start` on. `draw`: with
    pixels; `crowded`: scenes full of items."""

    def __init__(self, start, stride, per_image, draw, crowded):
        self.start, self.stride, self.per_image, self.draw, self.crowded = start, stride, per_image, draw, crowded

    def __iter__(self):
        torch.set_num_threads(1)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        tokenizer, buckets, index = load(), {}, self.start
        while True:
            generator = rng_for("train", index)
            index += self.stride
            scene = sample_scene(generator, "train", generator.random(), crowded=self.crowded)
            bucket = buckets.setdefault((scene.height, scene.width), [])
            bucket.append((scene, generator))
            tokens = scene.height * scene.width // TOKEN_PX**2
            if len(bucket) >= max(4, round(TOKENS_PER_BATCH / tokens)):
                del buckets[scene.height, scene.width]
                yield make_batch(bucket, tokenizer, self.per_image, random.Random(index), self.draw, index)


def stream(start, stride, per_image, draw, crowded):
    dataset = Stream(start, stride, per_image, draw, crowded)
    return iter(DataLoader(dataset, batch_size=None, num_workers=1, prefetch_factor=8))


def example(scene, question, tokenizer):
    """The question as it is put for measuring: with reasoning."""
    return Example(scene, question, tokenizer.encode(question.text + THINK_SUFFIX + TURN_TEXT).ids)


def fixed_examples(split, count, per_image, tokenizer, start=0):
    """The first `count` questions of a split (`per_image` for each scene from seed `start` on), asked
    with reasoning: list of Example, and the generators to render the scenes with, by scene."""
    examples, generators, index = [], {}, start
    while len(examples) < count:
        generator = rng_for(split, index)
        index += 1
        scene = sample_scene(generator, split, generator.random())
        for question in ask(scene, generator, per_image):
            examples.append(example(scene, question, tokenizer))
        generators[id(scene)] = generator
    return examples[:count], generators


def prefix_ids(tokenizer):
    """Token ids before and after the visual tokens."""
    return tokenizer.encode(PREFIX_TEXT).ids, tokenizer.encode("<|vision_end|>").ids
