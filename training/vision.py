"""The vision tower: patches of a picture -> one feature and one key for each visual token.

Patches stay in merge-group order (the four of a visual token together), and window attention is a mask.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from training.layers import MERGE, MLP, PATCH_PX, TOKEN_PX, RMSNorm, attention_weights, bias_from, rotate

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


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
