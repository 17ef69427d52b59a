"""Byte-level BPE tokenizer of the embedded model, with Qwen's special tokens and chat template.

    python -m training.tokenizer        # trains it and writes media/model/{tokenizer*.json, chat_template.jinja, ...}

Words of the world, layout positions ("r2") and digits with and without a leading space are one token
each; anything else a person types falls back to shorter pieces and, in the end, to bytes.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

MODEL_DIR = Path(__file__).parent.parent / "media" / "model"
VOCAB_SIZE = 1024
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
MARKUP = ["<think>", "</think>", "<answer>", "</answer>"]  # stay visible in decoded text
SPLIT = r" ?[rc][1-9](?!\p{L})| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"

SYSTEM = "Look at the picture."
THINK_SUFFIX = " Think first."
DIRECT_SUFFIX = " Answer directly."
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PREFIX_TEXT = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
TURN_TEXT = "<|im_end|>\n<|im_start|>assistant\n"
EXTRA_WORDS = (
    "line point points slice slices pie chart percent share rising falling rises falls between most least"
    " first second third last large small big little same different number letter word colour shape grey white brown"
    " month minute hour equal equals more less than not and or of the a an in on at to is are was it this that"
)


def corpus(scenes=12000):
    """Question and answer texts of training scenes, as they are typed and as people also type them."""
    from training.questions import ask
    from training.world import rng_for, sample_scene, token_words

    for index in range(scenes):
        rng = rng_for("train", index)
        scene = sample_scene(rng, "train", rng.random())
        for words in token_words(scene):
            yield from words
        for question in ask(scene, rng, 5):
            yield question.text
            yield question.text[0].lower() + question.text[1:]
            yield question.think
            yield question.answer
            yield " " + question.answer
    for symbol in "0123456789ABCDEFGH":
        yield from [symbol, " " + symbol] * 200
    for word in EXTRA_WORDS.split():
        yield from [" " + word] * 60
    yield from [SYSTEM, "system", "user", "assistant", "\n", THINK_SUFFIX, DIRECT_SUFFIX] * 500


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(MARKUP),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=20,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKUP])
    return tokenizer


def save(tokenizer, folder=MODEL_DIR):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 2048,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": SPECIAL[3:],
        "chat_template": CHAT_TEMPLATE,
    })
    write_json(folder / "preprocessor_config.json", {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "min_pixels": 140 * 140,
        "max_pixels": 448 * 448,
    })


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def load(folder=MODEL_DIR):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    made = train()
    save(made)
    print(f"{made.get_vocab_size()} tokens")
    for text in ["How many red stars are there?", "star: r1 c1 red 0 c4 square 1 r2 47 + 25 = 72", "qwerty 100%"]:
        print(made.encode(text).tokens)
