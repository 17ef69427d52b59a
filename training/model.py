"""The embedded vision-language model: Qwen2.5-VL at a tiny size, written for fast training.

Parameter names and arithmetic are those of transformers' `Qwen2_5_VLForConditionalGeneration`
(training/tests/test_model.py loads the state dict there, strictly, and compares logits). What differs
is the batch layout: all pictures of a batch share one grid, patches stay in merge-group order and
window attention is a mask, and the questions about a picture share its visual prefix.

Flow of one training step:
    pixels [B, H, W, 3] -> Visual -> image features [B, N, hidden] (+ keys [B, heads, N, head_dim])
    prefix  = embed(system line, <|vision_start|>) + features (pruned or not) + embed(<|vision_end|>)
    LanguageModel(prefix, questions) -> hidden states of the question tokens -> loss on the responses
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

PATCH_PX = 14
MERGE = 2
TOKEN_PX = PATCH_PX * MERGE
PLACE_LAYERS = 2  # layers after which a visual token is to know where it is, see train.py
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


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


# ---------------------------------------------------------------------------------- vision


def patchify(pixels):
    """uint8 [B, H, W, 3] -> normalised patches [B, P, 588] (channel, y, x) in merge-group order."""
    batch, height, width, _ = pixels.shape
    mean = torch.tensor(MEAN, device=pixels.device) * 255
    std = torch.tensor(STD, device=pixels.device) * 255
    x = (pixels.float() - mean) / std
    rows, cols = height // TOKEN_PX, width // TOKEN_PX
    x = x.view(batch, rows, MERGE, PATCH_PX, cols, MERGE, PATCH_PX, 3)
    x = x.permute(0, 1, 4, 2, 5, 7, 3, 6)  # B, rows, cols, merge y, merge x, channel, y, x
    return x.reshape(batch, rows * cols * MERGE * MERGE, 3 * PATCH_PX * PATCH_PX)


def patch_coordinates(rows, cols, device=None):
    """Row and column of each patch in merge-group order, each [P]; rows, cols count visual tokens."""
    r, c, y, x = torch.meshgrid(
        *(torch.arange(n, device=device) for n in (rows, cols, MERGE, MERGE)), indexing="ij"
    )
    return (r * MERGE + y).flatten(), (c * MERGE + x).flatten()


class VisionAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.vision_heads
        self.qkv = nn.Linear(config.vision_hidden, 3 * config.vision_hidden)
        self.proj = nn.Linear(config.vision_hidden, config.vision_hidden)

    def forward(self, x, cos, sin, bias):
        # x [B, P, hidden]; cos, sin [P, head_dim]; bias [P, P] or None
        batch, patches, hidden = x.shape
        q, k, v = self.qkv(x).view(batch, patches, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)  # [B, heads, P, head_dim]
        weights = attention_weights(q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2), bias)
        y = weights.to(v.dtype) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, patches, hidden)), k


class VisionBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm1 = RMSNorm(config.vision_hidden)
        self.norm2 = RMSNorm(config.vision_hidden)
        self.attn = VisionAttention(config)
        self.mlp = MLP(config.vision_hidden, config.vision_intermediate, bias=True)

    def forward(self, x, cos, sin, bias):
        y, keys = self.attn(self.norm1(x), cos, sin, bias)
        x = x + y
        return x + self.mlp(self.norm2(x)), keys


class PatchEmbed(nn.Module):
    """A still picture is one frame given twice, so both temporal halves of the kernel see the same
    patch: their sum is applied once."""

    def __init__(self, hidden):
        super().__init__()
        self.proj = nn.Conv3d(3, hidden, (2, PATCH_PX, PATCH_PX), (2, PATCH_PX, PATCH_PX), bias=False)

    def forward(self, patches):
        return F.linear(patches, self.proj.weight.sum(2).flatten(1))


class Merger(nn.Module):
    def __init__(self, config):
        super().__init__()
        merged = config.vision_hidden * MERGE * MERGE
        self.ln_q = RMSNorm(config.vision_hidden)
        self.mlp = nn.Sequential(nn.Linear(merged, merged), nn.GELU(), nn.Linear(merged, config.hidden))

    def forward(self, x):
        x = self.ln_q(x)
        return self.mlp(x.view(x.shape[0], x.shape[1] // 4, -1))


class Visual(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.vision_hidden)
        self.blocks = nn.ModuleList([VisionBlock(config) for _ in range(config.vision_depth)])
        self.merger = Merger(config)

    def geometry(self, rows, cols, device=None):
        """cos, sin [P, head_dim] and the window bias [P, P] of a grid of rows x cols visual tokens."""
        dim = self.config.vision_hidden // self.config.vision_heads
        inverse = 1.0 / 10000 ** (torch.arange(0, dim // 2, 2, device=device).float() / (dim // 2))
        y, x = patch_coordinates(rows, cols, device)
        angles = torch.cat((y[:, None] * inverse, x[:, None] * inverse), dim=-1).repeat(1, 2)
        side = self.config.window_px // PATCH_PX
        window = (y // side) * (cols * MERGE) + x // side
        return angles.cos(), angles.sin(), bias_from(window[:, None] == window[None, :])

    def forward(self, pixels):
        """pixels uint8 [B, H, W, 3] -> features [B, N, hidden], keys [B, heads, N, head_dim] (last
        block, after rotary embedding, mean over each merge group)."""
        cos, sin, window = self.geometry(
            pixels.shape[1] // TOKEN_PX, pixels.shape[2] // TOKEN_PX, pixels.device
        )
        x = self.patch_embed(patchify(pixels))
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for i, block in enumerate(self.blocks):
            bias = None if i in self.config.full_attention_blocks else window
            x, keys = block(x, cos, sin, bias)
        batch, heads, patches, dim = keys.shape
        return self.merger(x), keys.float().view(batch, heads, patches // 4, 4, dim).mean(3)


def kdv_scores(keys):
    """Key diversity of each visual token (avis paper, KDV). keys [B, heads, N, head_dim] -> [B, N]."""
    unit = F.normalize(keys, dim=-1)
    anchor = unit.mean(2, keepdim=True)
    return -F.cosine_similarity(unit, anchor, dim=-1).mean(1)


# ---------------------------------------------------------------------------------- language


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        kv = config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden, config.hidden)
        self.k_proj = nn.Linear(config.hidden, kv)
        self.v_proj = nn.Linear(config.hidden, kv)
        self.o_proj = nn.Linear(config.hidden, config.hidden, bias=False)


class DecoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config.hidden, config.intermediate, bias=False)
        self.input_layernorm = RMSNorm(config.hidden)
        self.post_attention_layernorm = RMSNorm(config.hidden)

    def forward(self, x, cos, sin, attend):
        """x [tokens, hidden] flat; `attend(q, k, v)` maps [tokens, heads, head_dim] to
        [tokens, hidden]."""
        attn, dim = self.self_attn, self.self_attn.config.head_dim
        y = self.input_layernorm(x)
        q = rotate(attn.q_proj(y).view(len(x), -1, dim), cos, sin)
        k = rotate(attn.k_proj(y).view(len(x), -1, dim), cos, sin)
        v = attn.v_proj(y).view(len(x), -1, dim)
        x = x + attn.o_proj(attend(q, k, v))
        return x + self.mlp(self.post_attention_layernorm(x))


class LanguageModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden)
        self.layers = nn.ModuleList([DecoderLayer(config) for _ in range(config.layers)])
        self.norm = RMSNorm(config.hidden)

    def rotary(self, positions):
        """positions [3, tokens] -> cos, sin [tokens, 1, head_dim] (M-RoPE)."""
        config = self.config
        half = config.head_dim // 2
        inverse = config.rope_theta ** (-torch.arange(half, device=positions.device).float() / half)
        axis = torch.cat([
            torch.full((n,), i % 3, device=positions.device) for i, n in enumerate(config.mrope_section)
        ])
        angles = positions.float().T[:, axis] * inverse  # [tokens, half]
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        return angles.cos(), angles.sin()

    def forward(self, prefix, prefix_positions, questions, question_positions, groups, looks=None):
        """One prefix per picture, several questions behind it that don't see each other.

        prefix [B, P, hidden], prefix_positions [3, B, P]. Questions come in groups of one per picture
        (the shortest of every picture, then the second shortest, ...), so that little is padded: groups
        is a list of (slots, width), slots [M_j] the place of each token of group j in its padded layout
        [B, width] flattened. questions [M, hidden]: all tokens, group after group, with their
        question_positions [3, M]. looks [M]: index among prefix and own question that a token should look
        at, or -1. Returns hidden states of the questions [M, hidden], those of the prefix after
        PLACE_LAYERS layers [B, P, hidden] and the mean surprise (nats) of the taught heads at `looks`.
        """
        batch, length, hidden = prefix.shape
        kv, dim = self.config.kv_heads, self.config.head_dim
        split = batch * length
        x = torch.cat((prefix.reshape(-1, hidden), questions))
        cos, sin = self.rotary(torch.cat((prefix_positions.flatten(1), question_positions), dim=1))
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        biases = [
            bias_from(torch.ones(width, length + width, dtype=torch.bool, device=x.device).tril(length))
            for _, width in groups
        ]
        prefix_bias = bias_from(torch.ones(length, length, dtype=torch.bool, device=x.device).tril())

        surprise = []

        def grouped(q, k, v, bias, slots=None, look=None):  # q, k, v [B, T or S, heads, dim] -> [B * T, hidden]
            rows, width = q.shape[:2]
            q = q.reshape(rows, width, kv, -1, dim).permute(0, 2, 3, 1, 4).reshape(rows, kv, -1, dim)
            scores = (q @ k.permute(0, 2, 3, 1)).view(rows, kv, -1, width, k.shape[1])
            if look is not None:
                taught = (scores[:, :, 0] + bias).transpose(1, 2).flatten(0, 1)[slots[look >= 0]]  # [tokens, kv, S]
                surprise.append(F.cross_entropy(
                    taught.float().flatten(0, 1), look[look >= 0].repeat_interleave(kv), reduction="none"
                ))
            weights = attention_weights(scores, bias).view(rows, kv, -1, k.shape[1])
            y = (weights @ v.transpose(1, 2)).view(rows, kv, -1, width, dim)
            return y.permute(0, 3, 1, 2, 4).reshape(rows * width, -1)

        def attend(q, k, v, taught):
            q = q * dim**-0.5
            k_prefix, v_prefix = (y[:split].view(batch, length, kv, dim) for y in (k, v))
            out = [grouped(q[:split].view(batch, length, -1, dim), k_prefix, v_prefix, prefix_bias)]
            at = split
            for (slots, width), bias in zip(groups, biases):
                tokens = slice(at, at + len(slots))
                at += len(slots)

                def pad(y):  # [M_j, heads, dim] -> [B, width, heads, dim], zeros behind short questions
                    room = y.new_zeros(batch * width, *y.shape[1:])
                    return room.index_copy(0, slots, y[tokens]).view(batch, width, *y.shape[1:])

                y_k, y_v = torch.cat((k_prefix, pad(k)), 1), torch.cat((v_prefix, pad(v)), 1)
                look = looks[tokens.start - split : tokens.stop - split] if taught else None
                out.append(grouped(pad(q), y_k, y_v, bias, slots, look)[slots])
            return torch.cat(out)

        for i, layer in enumerate(self.layers):
            # The first head of each group of the middle layer is taught where to look, see looks.py.
            taught = looks is not None and i == len(self.layers) // 2
            x = layer(x, cos, sin, lambda q, k, v, taught=taught: attend(q, k, v, taught))
            if i == PLACE_LAYERS - 1:
                early = x[:split].view(batch, length, hidden)
        return self.norm(x[split:]), early, torch.cat(surprise).mean() if surprise else None


class Inner(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.visual = Visual(config)
        self.language_model = LanguageModel(config)


class AvisModel(nn.Module):
    """`model.visual`, `model.language_model`; the head is tied to the word embeddings."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Inner(config)
        for name, p in self.named_parameters():
            if p.dim() == 1:
                continue
            fan_in = p.flatten(1).shape[1]
            scale = 0.02 if "embed_tokens" in name else 0.7 / math.sqrt(fan_in)
            if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
                scale *= 0.3
            nn.init.normal_(p, std=scale)
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)

    @property
    def embeddings(self):
        return self.model.language_model.embed_tokens.weight

    def logits(self, hidden):
        return F.linear(hidden, self.embeddings)


def visual_positions(rows, cols, start):
    """M-RoPE positions [3, rows * cols] of one picture whose first token stands at `start`."""
    r, c = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    return torch.stack((torch.zeros_like(r), r, c)).flatten(1) + start


def after_image(rows, cols, start):
    """Position of the first text token after the picture."""
    return start + max(rows, cols)
