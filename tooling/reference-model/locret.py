"""Trains the retaining heads of Locret (arXiv 2410.01805) for the frozen model, and measures them on held-out text.

A layer's head says, from a token's own queries, keys and values before RoPE, how strongly later questions will look at
it: S = silu([q, k, v] W1^T) W2^T, one score per KV head. The label is the largest logit (scaled, after RoPE, before
softmax) that any token of the sample's questions and answers gives it, in any query head of the KV head's group.

As the authors' code, but for: heads of 256 instead of 1,024, batches instead of single samples, a schedule that follows
a budget (--seconds or --steps), and samples of our tasks instead of LongAlpaca.

    python locret.py --model DIR --corpus train.npz --tasks tasks.json --text heldout.txt --golden FOLDER --seconds 280
"""
import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import IterableDataset, get_worker_info

from caches import FullCache
from data import Corpus, Sampler, loader
from evaluate import SNAPKV, Evaluator, load
from model import Config, Llama
from tasks import Assembler, EvaluationPool, TaskText
from text import read_documents

SMOOTHING, CLIP, LOCAL, TOP = 0.0025, 0.5, 100, 0.1


class Head(nn.Module):
    def __init__(self, c: Config, hidden: int):
        super().__init__()
        self.w1 = nn.Linear((c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, c.num_key_value_heads, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[q, k, v], [batch, n, (query heads + 2 KV heads) * head_dim], to scores, [batch, KV heads, n]."""
        return self.w2(F.silu(self.w1(x))).transpose(1, 2)


class Inputs:
    """[q, k, v] before RoPE of the model's last forward pass, by layer."""

    def __init__(self, model: Llama):
        self.parts: list[list[Tensor]] = [[] for _ in model.model.layers]
        for parts, layer in zip(self.parts, model.model.layers):
            layer.self_attn.register_forward_pre_hook(lambda module, inputs, parts=parts: parts.clear())
            for name in ("q_proj", "k_proj", "v_proj"):
                getattr(layer.self_attn, name).register_forward_hook(lambda module, inputs, output, parts=parts: parts.append(output))

    def __getitem__(self, layer: int) -> Tensor:
        return torch.cat(self.parts[layer], dim=-1)


class Rotated:
    """A cache of nothing: notes the queries and keys after RoPE, by layer."""

    def __init__(self) -> None:
        self.qk: list[tuple[Tensor, Tensor]] = []

    def step(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.qk.append((q, k))
        return k, v


class RetainingCache(FullCache):
    """Keeps, per KV head, the `capacity` best-scored rows of what is read first, and everything that comes later.

    The first part is read in one chunk and kept rows stay at their positions; Locret reads in chunks and closes the gaps.
    """

    def __init__(self, capacity: int, heads: nn.ModuleList, inputs: Inputs) -> None:
        super().__init__()
        self.capacity, self.heads, self.inputs = capacity, heads, inputs

    def step(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        first = layer not in self.k
        all_k, all_v = super().step(layer, q, k, v)
        if first and k.shape[2] > self.capacity:
            scores = self.heads[layer](self.inputs[layer])
            rows = scores.topk(self.capacity, dim=-1).indices.sort(-1).values[..., None].expand(-1, -1, -1, k.shape[-1])
            self.k[layer], self.v[layer] = k.gather(2, rows), v.gather(2, rows)
        return all_k, all_v


class LateQuestions(Evaluator):
    """Reads the last LOCAL tokens of a prompt, its question among them, one by one: after the cache dropped rows."""

    def read(self, ids: Tensor, cache: FullCache) -> Tensor:
        length = ids.shape[1]
        self.model.hidden(ids[:, :-LOCAL], 0, cache)
        for i in range(length - LOCAL, length):
            hidden = self.model.hidden(ids[:, i : i + 1], i, cache)
        return hidden


class Prompts(IterableDataset):
    """Endless batches, each of one random length: ids, and how many tokens of each sample stand before its questions."""

    def __init__(self, make: Callable[[int], Sampler], lengths: tuple[int, int], tokens: int):
        self.make, self.lengths, self.tokens = make, lengths, tokens

    def __iter__(self):
        worker = get_worker_info()
        sampler = self.make(worker.id if worker else 0)
        while True:
            length = sampler.rng.randint(*self.lengths)
            ids, documents = zip(*(prompt(sampler, length) for _ in range(max(1, self.tokens // length))))
            yield torch.from_numpy(np.stack(ids)), torch.tensor(documents)


def prompt(sampler: Sampler, length: int) -> tuple[np.ndarray, int]:
    pieces, tail, _ = sampler.asked(length)
    ids = np.concatenate([[sampler.assembler.bos], *(p for p, _ in pieces), tail])
    return ids, len(ids) - len(tail)


def labels(q: Tensor, k: Tensor, documents: Tensor) -> Tensor:
    """[batch, KV heads, n]; of tokens before the questions, which all questions may look at. What stands behind is no label."""
    batch, kv_heads, n, head_dim = k.shape
    first = int(documents.min())
    q = q[:, :, first:].float().reshape(batch, kv_heads, -1, n - first, head_dim)
    logits = (q * head_dim**-0.5).flatten(2, 3) @ k.float().transpose(-1, -2)
    before = torch.arange(first, n, device=k.device) < documents[:, None]  # the end of a document that is longer than another
    logits = logits.unflatten(2, (-1, n - first)).masked_fill_(before[:, None, None, :, None], float("-inf"))
    return logits.amax((2, 3))


def loss_of(scores: Tensor, target: Tensor, documents: Tensor) -> tuple[Tensor, Tensor]:
    """Of one layer: SmoothL1, and the mean squared difference of neighbours."""
    known = (torch.arange(scores.shape[-1], device=scores.device) < documents[:, None])[:, None].expand_as(scores)
    difference = F.smooth_l1_loss(scores[known], target[known])
    return difference, (scores[..., 1:] - scores[..., :-1])[known[..., 1:]].square().mean()


def rate(progress: float, peak: float, warmup: float) -> float:
    """Linear up to the peak, linear down to zero."""
    return peak * (progress / warmup if progress < warmup else max(0.0, 1 - progress) / (1 - warmup))


def train(model: Llama, inputs: Inputs, heads: nn.ModuleList, batches: Prompts, args: argparse.Namespace, device: str) -> dict[str, str]:
    torch.set_float32_matmul_precision("high")
    optimizer = torch.optim.AdamW(heads.parameters(), lr=args.peak, betas=(0.9, 0.95), fused=device == "cuda")
    began, step, tokens = time.monotonic(), 0, 0
    for ids, documents in loader(batches, args.workers):
        progress = (time.monotonic() - began) / args.seconds if args.seconds else step / args.steps
        if progress >= 1:
            break
        ids, documents = ids.to(device, non_blocking=True), documents.to(device, non_blocking=True)
        for group in optimizer.param_groups:
            group["lr"] = rate(progress, args.peak, args.warmup)
        rotated = Rotated()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            with torch.no_grad():
                model.hidden(ids, 0, rotated)
            scores = [head(inputs[i]) for i, head in enumerate(heads)]
        with torch.no_grad():
            targets = [labels(q, k, documents) for q, k in rotated.qk]
        losses = [loss_of(s.float(), t, documents) for s, t in zip(scores, targets)]
        difference, smoothing = torch.stack([a for a, _ in losses]).mean(), torch.stack([b for _, b in losses]).sum()
        (difference + SMOOTHING * smoothing).backward()
        nn.utils.clip_grad_value_(heads.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, tokens = step + 1, tokens + ids.numel()
        if step % args.log_every == 0:
            seconds = time.monotonic() - began
            now = f"smooth L1 {difference.item():.4f} neighbours {smoothing.item():.3f}"
            print(f"{seconds:8.1f} step {step} {now} {tokens / seconds / 1e6:.2f} Mtok/s", flush=True)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"steps": str(step), "tokens": str(tokens), "seconds": f"{time.monotonic() - began:.0f}", "device": name}


@torch.no_grad()
def overlap(model: Llama, inputs: Inputs, heads: nn.ModuleList, samples: list[tuple[np.ndarray, int]], device: str) -> Tensor:
    """Share of the rows with the highest labels that have the highest scores as well, [layers, KV heads]."""
    total = torch.zeros(len(heads), model.config.num_key_value_heads, device=device)
    for ids, document in samples:
        rotated, count = Rotated(), int(TOP * document)
        model.hidden(torch.from_numpy(ids)[None].to(device), 0, rotated)
        for i, (q, k) in enumerate(rotated.qk):
            target = labels(q, k, torch.tensor([document], device=device))[0, :, :document].topk(count).indices
            best = heads[i](inputs[i])[0, :, :document].topk(count).indices
            total[i] += (best[:, :, None] == target[:, None, :]).sum((1, 2)) / count
    return (total / len(samples)).cpu()


def tensors(heads: nn.ModuleList) -> dict[str, Tensor]:
    weights = ((f"layers.{i}.retaining.{name}.weight", getattr(h, name).weight) for i, h in enumerate(heads) for name in ("w1", "w2"))
    return {name: w.detach().half().cpu().contiguous() for name, w in weights}


def set_tensors(heads: nn.ModuleList, weights: dict[str, Tensor]) -> None:
    for i, h in enumerate(heads):
        h.load_state_dict({f"{name}.weight": weights[f"layers.{i}.retaining.{name}.weight"].float() for name in ("w1", "w2")})


@torch.no_grad()
def write_golden(folder: Path, model: Llama, heads: nn.ModuleList) -> None:
    """Scores of the first 64 tokens of a golden prompt, in float32 on the CPU."""
    model.cpu(), heads.cpu()
    ids = load_file(folder / "golden.safetensors")["needle.ids"][:64].contiguous()
    inputs = Inputs(model)
    model.hidden(ids[None].long())
    scores = torch.stack([h(inputs[i])[0] for i, h in enumerate(heads)])
    save_file({"tokens": ids, "scores": scores.contiguous()}, folder / "retaining-heads.safetensors")


def main() -> None:
    p = argparse.ArgumentParser()
    for name in ("model", "corpus", "tasks", "text", "golden"):
        p.add_argument(f"--{name}", type=Path, required=True)
    p.add_argument("--seconds", type=float)
    p.add_argument("--steps", type=int)
    p.add_argument("--heads", type=Path, help="trained heads, to be measured only")
    p.add_argument("--out", type=Path, help="where the heads go; retaining-heads.safetensors in --model if not given")
    p.add_argument("--hidden", type=int, default=256)
    p.add_argument("--lengths", type=int, nargs=2, default=[1024, 4096], help="shortest and longest sample")
    p.add_argument("--tokens-per-step", type=int, default=65_536)
    p.add_argument("--peak", type=float, default=5e-4)
    p.add_argument("--warmup", type=float, default=2 / 3, help="share of the budget; the authors warm up for 2,000 of 3,000 steps")
    p.add_argument("--workers", type=int, default=14)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--log-every", type=int, default=200)
    p.add_argument("--samples", type=int, default=64, help="held-out samples, of each length, for the overlap")
    p.add_argument("--task-samples", type=int, default=128, help="0 leaves the tasks out")
    p.add_argument("--kept", type=int, nargs="*", default=[512, 256], help=f"rows per KV head that a question finds, the last {LOCAL} tokens among them")
    p.add_argument("--tiny", action="store_true", help="the tiny model, to try the script")
    args = p.parse_args()
    if sum(x is not None for x in (args.seconds, args.steps, args.heads)) != 1:
        p.error("give one of --seconds, --steps, --heads")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    model = load(args.model, device, args.tiny).requires_grad_(False)
    inputs = Inputs(model)
    hidden = load_file(args.heads)["layers.0.retaining.w1.weight"].shape[0] if args.heads else args.hidden
    heads = nn.ModuleList(Head(model.config, hidden) for _ in model.model.layers).to(device)
    text, tokenizer = TaskText.load(args.tasks), Tokenizer.from_file(str(args.model / "tokenizer.json"))
    assembler, corpus, documents = Assembler(text, tokenizer), Corpus.load(args.corpus), read_documents(args.text)

    evaluator = LateQuestions(model, text, tokenizer, documents, device)
    offsets = np.cumsum([0, *map(len, evaluator.documents)])
    heldout = Sampler(Corpus(np.concatenate(evaluator.documents), offsets, text.words["training"]), text, assembler, args.seed)
    heldout.pool = EvaluationPool(text, heldout.rng)
    samples = {n: [prompt(heldout, n) for _ in range(args.samples)] for n in args.lengths}

    def measure(name: str) -> float:
        torch.set_float32_matmul_precision("highest")
        found = {n: overlap(model, inputs, heads, s, device) for n, s in samples.items()}
        mean = torch.stack(list(found.values())).mean(0)
        row = {"heads": name, "overlap": round(mean.mean().item(), 4), "lengths": {n: round(f.mean().item(), 4) for n, f in found.items()}}
        print(json.dumps(row | {"layers": [[round(x, 3) for x in layer] for layer in mean.tolist()]}), flush=True)
        longest = args.lengths[1]
        for task, kept in itertools.product(SNAPKV if args.task_samples else [], args.kept):
            caches = lambda: RetainingCache(kept - LOCAL, heads, inputs)
            evaluator.run(task, longest, args.task_samples, 7, max(1, 131_072 // longest), caches, f"{name} heads, {kept} rows")
        return mean.mean().item()

    measure("untrained")
    if args.heads:
        set_tensors(heads, load_file(args.heads))
        measure("trained")
    else:
        make = lambda worker: Sampler(corpus, text, Assembler(text, tokenizer), args.seed * 1000 + worker)
        facts = train(model, inputs, heads, Prompts(make, tuple(args.lengths), args.tokens_per_step), args, device)
        weights = tensors(heads)
        set_tensors(heads, weights)  # from here on what is shipped: rounded to float16
        facts["overlap"] = f"{measure('trained'):.4f}"
        save_file(weights, args.out or args.model / "retaining-heads.safetensors", {"format": "pt"} | facts)
        print(json.dumps(facts))
    write_golden(args.golden, model, heads)


if __name__ == "__main__":
    main()
