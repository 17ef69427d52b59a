"""Trains the embedded model on the CPU, in three stages; goes on where it was interrupted.

    python -m training.train            # any number of times; ends when all stages are done, or saves at SIGTERM
    nohup nice -n 10 python -m training.train &

Stages: 1 "symbolic": the language model alone, visual tokens are sums of word embeddings plus noise;
2 "vision": the vision tower learns to give those sums, embeddings frozen; 3 "joint": everything.
The live state (fp32, optimizer) is in training/.cache/live; `python -m training.export` takes its
weights over into training/checkpoint, which is in git and where a fresh clone goes on from.
To train longer, raise the steps of the last stage and run again.
"""

import ctypes
import json
import math
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from training.data import prefix_ids, stream
from training.layers import Config
from training.model import AvisModel, after_image, visual_positions
from training.vision import kdv_scores
from training.tokenizer import load
from training.world import BAR_LABELS, COLOURS, SHAPES, SIGN_WORDS, THINGS

RUN_DIR = Path(__file__).parent / ".cache" / "live"
CHECKPOINT_DIR = Path(__file__).parent / "checkpoint"
PROCESSES = 2
SAVE_EVERY_S = 180
LOG_EVERY = 20


@dataclass
class Stage:
    name: str
    steps: int
    per_image: int  # questions per picture
    muon_lr: float
    adam_lr: float
    decay_from: float  # share of the steps after which the learning rate falls linearly
    end_factor: float  # to this share of it
    frozen: tuple  # how the names of the parameters begin that stay as they are


STAGES = [
    Stage("symbolic", 1040, 6, 0.01, 3e-3, 0.8, 0.5, ("model.visual",)),
    Stage("vision", 830, 1, 0.01, 2e-3, 0.6, 0.2, ("model.language_model",)),
    Stage("joint", 1400, 5, 0.006, 1.5e-3, 0.5, 0.05, ()),
    # Each half again, where it learns fastest alone, and then together once more.
    Stage("vision", 2600, 1, 0.008, 1.5e-3, 0.3, 0.1, ("model.language_model",)),
    Stage("symbolic", 1900, 6, 0.008, 1.5e-3, 0.6, 0.2, ("model.visual", "model.language_model.embed")),
    Stage("vision", 1300, 1, 0.007, 1.2e-3, 0.4, 0.1, ("model.language_model",)),
    Stage("symbolic", 400, 6, 0.005, 1e-3, 0.3, 0.2, ("model.visual", "model.language_model.embed")),
    Stage("vision", 1900, 1, 0.008, 1.2e-3, 0.45, 0.1, ("model.language_model",)),
    Stage("joint", 1600, 5, 0.006, 1.5e-3, 0.5, 0.05, ()),
]
WARMUP_STEPS = 50
EMA_DECAY = 0.995
SYMBOL_NOISE = 0.3  # noise on symbolic tokens, of the norm of a word embedding
PRUNED_SHARE = 0.45  # share of batches in which visual tokens are dropped
PLACE_WEIGHT = 0.3
LOOK_WEIGHT = 0.5
TAU_COS = math.cos(math.pi / 4)


def word_groups(tokenizer):
    """Token ids of the world's words by group; alignment picks one word of a group."""
    groups = [
        [" " + w for w in COLOURS],
        [" " + w for w in SHAPES + THINGS + SIGN_WORDS + ["bar"]],
        [" " + w for w in BAR_LABELS],
        [" " + d for d in "0123456789"],
        list("0123456789"),
    ]
    return [[tokenizer.token_to_id(w.replace(" ", "Ġ")) for w in group] for group in groups]


class Trainer:
    """The model with its loss; `loss(batch, stage)` is all that a step needs."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.before, self.after = prefix_ids(tokenizer)
        self.empty_id = tokenizer.token_to_id("<|image_pad|>")
        self.row_ids, self.col_ids = (
            [tokenizer.token_to_id(f"Ġ{axis}{n}") for n in range(1, 8)] for axis in "rc"
        )
        groups = word_groups(tokenizer)
        self.world_ids = torch.tensor([i for group in groups for i in group])
        group = torch.cat([torch.full((len(g),), n) for n, g in enumerate(groups)])
        self.same_group = group[:, None] == group[None, :]  # [world words, world words]
        self.world_index = torch.full((model.config.vocab_size,), -1)
        self.world_index[self.world_ids] = torch.arange(len(self.world_ids))

    def symbols(self, batch):
        """What a visual token should be: the sum of its words' embeddings and the empty token's.
        [B, N, hidden]"""
        table = self.model.embeddings
        base = table[self.empty_id].expand(batch.images * batch.rows * batch.cols, -1)
        summed = base.index_add(0, batch.word_at, table[batch.word])
        return summed.view(batch.images, -1, summed.shape[-1])

    def occupied(self, batch):
        """bool [B, N]: tokens that carry words."""
        mask = torch.zeros(batch.images * batch.rows * batch.cols, dtype=torch.bool)
        mask[batch.word_at] = True
        return mask.view(batch.images, -1)

    def language_loss(self, batch, features, keep=None):
        """Losses of the responses, of the place of every visual token and of where the taught heads look.
        keep: indices [B, n] of the visual tokens that stay, or None; they keep the positions that they had."""
        embed = self.model.model.language_model.embed_tokens
        positions = visual_positions(batch.rows, batch.cols, len(self.before))
        positions = positions[:, None].expand(3, batch.images, -1)
        if keep is not None:
            features = features.gather(1, keep[..., None].expand(-1, -1, features.shape[-1]))
            positions = positions.gather(2, keep[None].expand(3, -1, -1))
        after = after_image(batch.rows, batch.cols, len(self.before))
        edge = lambda ids: embed(torch.tensor(ids)).expand(batch.images, -1, -1).to(features.dtype)
        prefix = torch.cat((edge(self.before), features, edge(self.after)), dim=1)
        at = lambda p: p.expand(3, batch.images, -1)
        positions = torch.cat(
            (at(torch.arange(len(self.before))), positions, at(torch.tensor([after]))), dim=2
        )
        hidden, early, look = self.model.model.language_model(
            prefix, positions, embed(batch.ids).to(features.dtype),
            (batch.offset + after + 1).expand(3, -1), batch.groups, self.looks(batch, keep),
        )  # fmt: skip
        said = batch.target >= 0
        weight = batch.weight[said]
        loss = F.cross_entropy(self.model.logits(hidden[said]).float(), batch.target[said], reduction="none")
        loss = loss @ weight / weight.sum()
        visual = slice(len(self.before), -1)
        return {"lm": loss, "place": self.place_loss(early[:, visual], positions[:, :, visual]), "look": look}

    def looks(self, batch, keep):
        """batch.look as indices among prefix and question, -1 too where the visual token was dropped. [M]"""
        total = batch.rows * batch.cols
        place = torch.arange(total).expand(batch.images, -1)
        kept = total
        if keep is not None:
            kept = keep.shape[1]
            place = torch.full((batch.images, total), -1).scatter(1, keep, torch.arange(kept).expand_as(keep))
        picture = torch.cat([slots // width for slots, width in batch.groups])
        visual = place[picture, batch.look.clamp(0, total - 1)]
        visual = torch.where(visual >= 0, visual + len(self.before), -1)
        text = batch.look - total + len(self.before) + kept + len(self.after)
        return torch.where(batch.look < 0, -1, torch.where(batch.look < total, visual, text))

    def place_loss(self, early, positions):
        """The language model finds a place by its words ("r2 c3"): early states of visual tokens
        [B, n, hidden] are to know the words of their layout row and column (see world.py)."""
        early = F.rms_norm(early.float(), early.shape[-1:])
        loss = 0.0
        for words, axis in ((self.row_ids, 1), (self.col_ids, 2)):
            target = (positions[axis] - len(self.before) + 1) // 2 - 1
            target = torch.where((target >= 0) & (target < len(words)), target, -100)
            logits = early @ self.model.embeddings[words].T
            loss = loss + F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)
        return loss / 2

    def alignment_loss(self, batch, features):
        """Distance of a visual token to the sum of its words (item and empty tokens weigh the same),
        and which word of a group it is, balanced over words: (distance, choice, share right)."""
        features = features.float()
        wanted, occupied = self.symbols(batch).detach(), self.occupied(batch)
        table = self.model.embeddings.detach()[self.world_ids]
        size = table.pow(2).sum(-1).mean()
        error = (features - wanted).pow(2).sum(-1) / size
        distance = 0.5 * (error[occupied].mean() + error[~occupied].mean())

        centred = table.clone()
        for same in self.same_group.unique(dim=0):
            centred[same] -= table[same].mean(0)
        target = self.world_index[batch.word]
        logits = 8 * features.flatten(0, 1)[batch.word_at] @ centred.T / centred.pow(2).sum(-1).mean()
        logits = logits.masked_fill(~self.same_group[target], -math.inf)
        weight = 1 / torch.bincount(target, minlength=len(table)).clamp(min=1)[target]
        choice = F.cross_entropy(logits, target, reduction="none") @ weight / weight.sum()
        return distance, choice, (logits.argmax(-1) == target).float().mean()

    def diversity_loss(self, batch, scores):
        """KDV is to keep the tokens that carry items: their score rises above the threshold of
        tau = 45 degrees, that of the others falls below it. scores [B, N]."""
        occupied = self.occupied(batch)
        low = F.relu(scores[~occupied] + TAU_COS + 0.08).mean()
        return low + F.relu(-TAU_COS + 0.10 - scores[occupied]).mean()

    def kept(self, batch, scores):
        """Indices [B, n] of the tokens of highest score, in their order; n is the same for all: that of a
        random pruning ratio, or the most that adaptive KDV at 45 degrees keeps of one picture."""
        total = batch.rows * batch.cols
        n = max(1, int(total * (1 - (0.1 + 0.75 * torch.rand(1).item()))))
        if torch.rand(1).item() < 0.5:
            n = int((scores >= -TAU_COS).sum(1).max().clamp(1, total))
        return scores.topk(n, dim=1).indices.sort(dim=1).values

    def loss(self, batch, stage):
        parts = {}
        prune = torch.rand(1).item() < PRUNED_SHARE
        if stage == "symbolic":
            features = self.symbols(batch)
            sigma = self.model.embeddings.detach()[self.world_ids].pow(2).mean().sqrt()
            features = features + torch.randn_like(features) * sigma * SYMBOL_NOISE
            keep = None
            if prune:  # items stay, a random part of the empty tokens goes
                occupied = self.occupied(batch)
                n = int(torch.randint(int(occupied.sum(1).max()), occupied.shape[1], (1,)))
                order = torch.rand(occupied.shape) + occupied
                keep = order.topk(max(n, 1), dim=1).indices.sort(dim=1).values
            parts = self.language_loss(batch, features, keep)
            return language_total(parts), parts
        features, keys = self.model.model.visual(batch.pixels)
        scores = kdv_scores(keys)
        parts["distance"], parts["choice"], parts["right"] = self.alignment_loss(batch, features)
        parts["diversity"] = self.diversity_loss(batch, scores)
        total = parts["distance"] + parts["choice"] + parts["diversity"]
        if stage == "joint":
            keep = self.kept(batch, scores.detach()) if prune else None
            parts |= self.language_loss(batch, features, keep)
            total = language_total(parts) + 0.3 * total
        return total, parts


def language_total(parts):
    return parts["lm"] + PLACE_WEIGHT * parts["place"] + LOOK_WEIGHT * parts["look"]


def optimizers(model, stage):
    """Muon for hidden matrices, AdamW for the rest; only what the stage trains."""
    for name, p in model.named_parameters():
        p.requires_grad_(not name.startswith(stage.frozen))
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrix = lambda n, p: p.dim() == 2 and "embed" not in n
    muon = [p for n, p in named if matrix(n, p)]
    rest = [p for n, p in named if not matrix(n, p)]
    return [
        torch.optim.Muon(muon, lr=stage.muon_lr, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=stage.adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(stage, step):
    """Share of the stage's learning rate: warm-up, constant, linear decay."""
    start = stage.decay_from * stage.steps
    fall = max(0.0, (step - start) / (stage.steps - start))
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - (1 - stage.end_factor) * fall)


def save(model, ema, opts, state):
    """Live state for resuming here, and the averaged weights in fp16 with a description."""
    live = {"model": model.state_dict(), "ema": ema, "opts": [o.state_dict() for o in opts], **state}
    torch.save(live, RUN_DIR / "live.tmp")
    os.replace(RUN_DIR / "live.tmp", RUN_DIR / "live.pt")
    small = {k: v.half().contiguous() for k, v in ema.items()}
    save_file(small, RUN_DIR / "model.tmp")
    os.replace(RUN_DIR / "model.tmp", RUN_DIR / "model.safetensors")
    described = state | {"config": model.config.to_dict(), "stageName": STAGES[state["stage"]].name}
    (RUN_DIR / "state.json").write_text(json.dumps(described, indent=2) + "\n")


def restore(model):
    """-> (ema, optimizer states or None, state): the live state, else the weights in git, else a start."""
    if (RUN_DIR / "live.pt").exists():
        live = torch.load(RUN_DIR / "live.pt", weights_only=False)
        model.load_state_dict(live["model"])
        state = {k: live[k] for k in ("stage", "step", "index", "images", "seconds")}
        return live["ema"], live["opts"], state
    if (CHECKPOINT_DIR / "model.safetensors").exists():
        model.load_state_dict({k: v.float() for k, v in load_file(CHECKPOINT_DIR / "model.safetensors").items()})
        state = json.loads((CHECKPOINT_DIR / "state.json").read_text())
        state = {k: state[k] for k in ("stage", "step", "index", "images", "seconds")}
    else:
        state = {"stage": 0, "step": 0, "index": 0, "images": 0, "seconds": 0.0}
    return {k: v.clone() for k, v in model.state_dict().items()}, None, state


def load_checkpoint(folder=CHECKPOINT_DIR):
    """The averaged weights in git (or those of the live run, with RUN_DIR) as a model to measure."""
    described = json.loads((folder / "state.json").read_text())
    model = AvisModel(Config(**described["config"]))
    model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return model.eval().requires_grad_(False)


def share(model, stopping):
    """Averages the gradients over the processes in one exchange -> whether any was asked to stop."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads] + [torch.tensor([float(bool(stopping))])])
    dist.all_reduce(flat)
    flat /= PROCESSES
    for g, part in zip(grads, flat[:-1].split([g.numel() for g in grads])):
        g.copy_(part.view_as(g))
    return flat[-1].item() > 0


def train(rank, meeting):
    """One of PROCESSES equal processes with a thread each, which beats one with several threads: they
    meet once a step and not at every operation. meeting: a file that does not exist yet."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    tokenizer = load()
    torch.manual_seed(0)
    model = AvisModel(Config())
    ema, opt_states, state = restore(model)
    trainer = Trainer(model, tokenizer)
    log = (RUN_DIR / "log.jsonl").open("a", buffering=1) if rank == 0 else None
    while True:
        stage = STAGES[state["stage"]]
        opts = optimizers(model, stage)
        if opt_states:
            for opt, saved in zip(opts, opt_states):
                opt.load_state_dict(saved)
            opt_states = None
        batches = stream(
            state["index"] + rank, PROCESSES, stage.per_image,
            draw=stage.name != "symbolic", crowded=stage.name == "vision",
        )  # fmt: skip
        torch.manual_seed((state["stage"] * 10**6 + state["step"]) * PROCESSES + rank)
        saved_at, mean, mark = time.time(), {}, time.time()
        while state["step"] < stage.steps:
            batch = next(batches)
            with torch.autocast("cpu", torch.bfloat16):
                loss, parts = trainer.loss(batch, stage.name)
            loss.backward()
            stop = share(model, stopping)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            factor = rate(stage, state["step"])
            for opt, lr in zip(opts, (stage.muon_lr, stage.adam_lr)):
                opt.param_groups[0]["lr"] = lr * factor
                opt.step()
                opt.zero_grad()
            with torch.no_grad():
                values = model.state_dict()
                torch._foreach_lerp_([ema[k] for k in ema], [values[k] for k in ema], 1 - EMA_DECAY)
            state["step"] += 1
            state["images"] += batch.images * PROCESSES
            state["index"] = batch.next_index - rank
            for name, value in parts.items():
                mean.setdefault(name, []).append(value.item())
            if log and state["step"] % LOG_EVERY == 0:
                seconds, mark = time.time() - mark, time.time()
                state["seconds"] += seconds
                line = {"stage": stage.name, "step": state["step"], "images": state["images"]}
                line |= {k: round(sum(v) / len(v), 4) for k, v in mean.items()}
                line |= {"lr": round(factor, 3), "s": round(seconds / LOG_EVERY, 3)}
                print(json.dumps(line), file=log)
                mean = {}
            if rank == 0 and (stop or time.time() - saved_at > SAVE_EVERY_S):
                save(model, ema, opts, state)
                saved_at = time.time()
            if stop:
                return
        if state["stage"] == len(STAGES) - 1:  # stays there, so that more steps go on from here
            if rank == 0:
                save(model, ema, opts, state)
            return
        state |= {"stage": state["stage"] + 1, "step": 0}
        if rank == 0:
            save(model, ema, optimizers(model, STAGES[state["stage"]]), state)


def keep_memory():
    """glibc otherwise maps and unmaps every large tensor: half of the time went to page faults."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, at its largest
        libc.mallopt(-1, 2_000_000_000)  # M_TRIM_THRESHOLD
        libc.mallopt(-2, 64 << 20)  # M_TOP_PAD


def main():
    keep_memory()
    meeting = RUN_DIR / f"meeting-{os.getpid()}"
    RUN_DIR.mkdir(parents=True, exist_ok=True)
    others = [multiprocessing.Process(target=train, args=(rank, meeting)) for rank in range(1, PROCESSES)]
    for other in others:
        other.start()
    train(0, meeting)
    for other in others:
        other.join()
    meeting.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
