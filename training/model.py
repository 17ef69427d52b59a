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

import torch
import torch.nn as nn
import torch.nn.functional as F

from training.layers import MLP, RMSNorm, attention_weights, bias_from, rotate
from training.vision import Visual

PLACE_LAYERS = 2  # layers after which a visual token is to know where it is, see train.py


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
