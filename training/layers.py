"""Sizes of the embedded model, and what its vision tower (vision.py) and language model (model.py) share."""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

PATCH_PX = 14
MERGE = 2
TOKEN_PX = PATCH_PX * MERGE


@dataclass
class Config:
    """Sizes. `mrope_section` cycles through time, height, width; it has more than three entries, so
    that every axis gets high and low frequencies (a picture is only 8 to 16 tokens wide)."""

    vocab_size: int = 1024
    hidden: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    intermediate: int = 512
    rope_theta: float = 1000.0
    mrope_section: tuple = (1, 2, 2, 1, 2, 2, 2, 2, 2)
    vision_hidden: int = 128
    vision_depth: int = 4
    vision_heads: int = 4
    vision_intermediate: int = 352
    window_px: int = 112
    full_attention_blocks: tuple = (1, 3)

    @property
    def head_dim(self):
        return self.hidden // self.heads

    def to_transformers(self, special_ids):
        """The dict of config.json. special_ids: name -> token id, see tokenizer.py."""
        return {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "image_token_id": special_ids["<|image_pad|>"],
            "video_token_id": special_ids["<|video_pad|>"],
            "vision_start_token_id": special_ids["<|vision_start|>"],
            "vision_end_token_id": special_ids["<|vision_end|>"],
            "tie_word_embeddings": True,
            "text_config": {
                "model_type": "qwen2_5_vl_text",
                "vocab_size": self.vocab_size,
                "hidden_size": self.hidden,
                "intermediate_size": self.intermediate,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.kv_heads,
                "head_dim": self.head_dim,
                "hidden_act": "silu",
                "max_position_embeddings": 2048,
                "rms_norm_eps": 1e-6,
                "rope_theta": self.rope_theta,
                "rope_scaling": {"type": "mrope", "mrope_section": list(self.mrope_section)},
                "tie_word_embeddings": True,
                "bos_token_id": special_ids["<|endoftext|>"],
                "eos_token_id": special_ids["<|im_end|>"],
                "pad_token_id": special_ids["<|endoftext|>"],
            },
            "vision_config": {
                "model_type": "qwen2_5_vl_vision",
                "depth": self.vision_depth,
                "hidden_size": self.vision_hidden,
                "hidden_act": "silu",
                "intermediate_size": self.vision_intermediate,
                "num_heads": self.vision_heads,
                "in_channels": 3,
                "patch_size": PATCH_PX,
                "spatial_patch_size": PATCH_PX,
                "spatial_merge_size": MERGE,
                "temporal_patch_size": 2,
                "tokens_per_second": 2,
                "window_size": self.window_px,
                "out_hidden_size": self.hidden,
                "fullatt_block_indexes": list(self.full_attention_blocks),
            },
        }

    def to_dict(self):
        return asdict(self)


class RMSNorm(nn.Module):
    def __init__(self, size, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        return (self.weight * y).to(x.dtype)


class MLP(nn.Module):
    def __init__(self, hidden, intermediate, bias):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, intermediate, bias=bias)
        self.up_proj = nn.Linear(hidden, intermediate, bias=bias)
        self.down_proj = nn.Linear(intermediate, hidden, bias=bias)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def rotate(x, cos, sin):
    """Rotary embedding, halves convention. x [..., head_dim]; cos, sin broadcast against it."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


def attention_weights(scores, bias):
    """Softmax over the last axis; bias is None or broadcasts against scores."""
    return (scores if bias is None else scores + bias.to(scores.dtype)).softmax(-1)


def bias_from(mask):
    """bool mask (True: may attend) -> float bias with -inf where it may not."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -math.inf)
