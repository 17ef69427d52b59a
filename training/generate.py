"""Batched decoding of the training model with a KV cache: greedy, or sampled rollouts that share a prefill."""

import torch

from training.model import attention_weights, bias_from


def sample(logits, temperature, top_p):
    """Next token ids [R] from logits [R, vocabulary]; temperature 0 is greedy. Nucleus: the smallest
    set of most probable tokens whose mass reaches top_p."""
    if temperature == 0:
        return logits.argmax(-1)
    probability, order = (logits.float() / temperature).softmax(-1).sort(-1, descending=True)
    probability[probability.cumsum(-1) - probability >= top_p] = 0
    return order.gather(1, torch.multinomial(probability, 1))[:, 0]


@torch.no_grad()
def generate(model, prefix, positions, after, prompts, rollouts=1, temperature=0.0, top_p=0.9, limit=140, stop=2):
    """Answers to several questions about each picture.

    prefix [B, P, hidden] with positions [3, B, P]; `after`: position of the first question token;
    prompts: token id lists, len(prompts) / B for each picture in turn. Returns token id lists without
    `stop`, `rollouts` for each prompt in turn. A rollout that reaches `limit` tokens is cut there.
    """
    lm = model.model.language_model
    config = model.config
    kv, dim = config.kv_heads, config.head_dim
    batch, length, hidden = prefix.shape
    row_image = torch.arange(batch).repeat_interleave(len(prompts) // batch)
    sizes = torch.tensor([len(p) for p in prompts])
    width, count = int(sizes.max()), len(prompts)
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
        room = k.new_zeros(2, count, kv, length + width + limit, dim)
        room[0, :, :, :length], room[1, :, :, :length] = k[row_image], v[row_image]
        cache.append(room)
        return attention(q, k, v, causal)

    run(prefix.reshape(-1, hidden), positions.flatten(1), attend_prefix)

    ids = torch.zeros(count, width, dtype=torch.long)
    for row, prompt in zip(ids, prompts):
        row[: len(prompt)] = torch.tensor(prompt)
    bias = bias_from(torch.ones(width, length + width, dtype=torch.bool).tril(length))

    def attend_prompt(i, q, k, v):
        q, k, v = (y.view(count, width, -1, dim) for y in (q, k, v))
        cache[i][0, :, :, length : length + width] = k.transpose(1, 2)
        cache[i][1, :, :, length : length + width] = v.transpose(1, 2)
        k, v = cache[i][:, :, :, : length + width]
        return attention(q, k, v, bias)

    where = (after + torch.arange(width)).repeat(count).expand(3, -1)
    x = run(lm.embed_tokens(ids.flatten()).to(prefix.dtype), where, attend_prompt)
    x = x.view(count, width, hidden)[torch.arange(count), sizes - 1]

    x = x.repeat_interleave(rollouts, 0)
    cache = [room.repeat_interleave(rollouts, 1) for room in cache]
    sizes = sizes.repeat_interleave(rollouts)
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
            token, sizes, rollout_of = token[going], sizes[going], rollout_of[going]
            cache = [room[:, going] for room in cache]
            going = going[going]
        end = length + width + step
        seen = torch.ones(len(token), end + 1, dtype=torch.bool)
        columns = torch.arange(width)
        seen[:, length : length + width] = columns[None] < sizes[:, None]
        bias = bias_from(seen)[:, None, None, None]

        def attend_step(i, q, k, v):
            cache[i][0, :, :, end], cache[i][1, :, :, end] = k, v
            k, v = cache[i][:, :, :, : end + 1]
            return attention(q[:, None], k, v, bias)

        where = (after + sizes + step).expand(3, -1)
        x = run(lm.embed_tokens(token).to(prefix.dtype), where, attend_step)
    return said
