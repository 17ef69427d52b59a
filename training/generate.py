"""Batched decoding of the training model with a KV cache: greedy, or sampled rollouts that share a prefill."""

import torch

from training.layers import attention_weights, bias_from


def sample(logits, temperature, top_p):
    """Next token ids [R] from logits [R, vocabulary]; temperature 0 is greedy. Nucleus: the smallest
    set of most probable tokens whose mass reaches top_p."""
    if temperature == 0:
        return logits.argmax(-1)
    probability, order = (logits.float() / temperature).softmax(-1).sort(-1, descending=True)
    probability[probability.cumsum(-1) - probability >= top_p] = 0
    return order.gather(1, torch.multinomial(probability, 1))[:, 0]


@torch.no_grad()
def generate(model, prefix, lengths, positions, after, prompts, rollouts=1, temperature=0.0, top_p=0.9, limit=140, stop=2):
    """Answers to a question about each of B pictures.

    prefix [B, P, hidden] with positions [3, B, P], of which the first lengths[b] count; after [B]: position
    of the first question token; prompts: B token id lists. Returns token id lists without `stop`,
    `rollouts` for each prompt in turn. A rollout that reaches `limit` tokens is cut there.
    """
    lm = model.model.language_model
    config = model.config
    kv, dim = config.kv_heads, config.head_dim
    batch, length, hidden = prefix.shape
    sizes = torch.tensor([len(p) for p in prompts])
    width = int(sizes.max())
    cache = []  # per layer: keys and values [rows, kv, prefix + width + limit, dim]

    def attention(q, k, v, bias):  # q [B, T, heads, dim]; k, v [B, kv, S, dim] -> [B * T, hidden]
        b, t = q.shape[:2]
        q = q.view(b, t, kv, -1, dim).permute(0, 2, 3, 1, 4).reshape(b, kv, -1, dim) * dim**-0.5
        scores = (q @ k.transpose(2, 3)).view(b, kv, -1, t, k.shape[2])
        weights = attention_weights(scores, bias).to(v.dtype).view(b, kv, -1, k.shape[2])
        return (weights @ v).view(b, kv, -1, t, dim).permute(0, 3, 1, 2, 4).reshape(b * t, -1)

    def run(x, where, attend):
        cos, sin = lm.rotary(where)
        for i, layer in enumerate(lm.layers):
            x = layer(x, cos.to(x.dtype), sin.to(x.dtype), lambda q, k, v, i=i: attend(i, q, k, v))
        return lm.norm(x)

    causal = bias_from(torch.ones(length, length, dtype=torch.bool).tril())

    def attend_prefix(i, q, k, v):
        q, k, v = (y.view(batch, length, -1, dim) for y in (q, k, v))
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        room = k.new_zeros(2, batch, kv, length + width + limit, dim)
        room[0, :, :, :length], room[1, :, :, :length] = k, v
        cache.append(room)
        return attention(q, k, v, causal)

    run(prefix.reshape(-1, hidden), positions.flatten(1), attend_prefix)

    ids = torch.zeros(batch, width, dtype=torch.long)
    for row, prompt in zip(ids, prompts):
        row[: len(prompt)] = torch.tensor(prompt)
    seen = torch.ones(width, length + width, dtype=torch.bool).tril(length).repeat(batch, 1, 1)
    seen[:, :, :length] &= (torch.arange(length) < lengths[:, None])[:, None]
    bias = bias_from(seen)[:, None, None]

    def attend_prompt(i, q, k, v):
        q, k, v = (y.view(batch, width, -1, dim) for y in (q, k, v))
        cache[i][0, :, :, length : length + width] = k.transpose(1, 2)
        cache[i][1, :, :, length : length + width] = v.transpose(1, 2)
        k, v = cache[i][:, :, :, : length + width]
        return attention(q, k, v, bias)

    where = (after[:, None] + torch.arange(width)).flatten().expand(3, -1)
    x = run(lm.embed_tokens(ids.flatten()).to(prefix.dtype), where, attend_prompt)
    x = x.view(batch, width, hidden)[torch.arange(batch), sizes - 1]

    x = x.repeat_interleave(rollouts, 0)
    cache = [room.repeat_interleave(rollouts, 1) for room in cache]
    sizes, lengths, after = (y.repeat_interleave(rollouts) for y in (sizes, lengths, after))
    said = [[] for _ in range(len(x))]
    rollout_of = torch.arange(len(x))  # rollout that each row of x and cache belongs to
    going = torch.ones(len(x), dtype=torch.bool)
    for step in range(limit):
        token = sample(model.logits(x), temperature, top_p)
        going &= token != stop
        for rollout, t in zip(rollout_of[going].tolist(), token[going].tolist()):
            said[rollout].append(t)
        if not going.any() or step == limit - 1:
            break
        if going.float().mean() < 0.75:  # moving the cache costs: only when a quarter has ended
            token, rollout_of = token[going], rollout_of[going]
            sizes, lengths, after = sizes[going], lengths[going], after[going]
            cache = [room[:, going] for room in cache]
            going = going[going]
        end = length + width + step
        seen = torch.ones(len(token), end + 1, dtype=torch.bool)
        seen[:, :length] = torch.arange(length) < lengths[:, None]
        seen[:, length : length + width] = torch.arange(width) < sizes[:, None]
        bias = bias_from(seen)[:, None, None, None]

        def attend_step(i, q, k, v):
            cache[i][0, :, :, end], cache[i][1, :, :, end] = k, v
            k, v = cache[i][:, :, :, : end + 1]
            return attention(q[:, None], k, v, bias)

        where = (after + sizes + step).expand(3, -1)
        x = run(lm.embed_tokens(token).to(prefix.dtype), where, attend_step)
    return said
