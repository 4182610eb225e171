"""Trains the model on one GPU, or a tiny one on the CPU (--tiny).

The schedule is driven by a budget: seconds of training (--seconds) or steps (--steps). Its share that is used up sets
both the learning rate and the sample length. A checkpoint holds weights, optimizer state and the budget used, so
`--resume` goes on where a run was stopped.

    python train.py --corpus train.npz --tasks tasks.json --tokenizer tokenizer.json --out RUN --seconds 1080
"""
import argparse
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import ANSWER, Batches, Corpus, loader
from model import TINY, Config, Llama

PHASES = "1024:0.3,4096:0.3,8704:0.4"  # sample length: share of the budget


class Loss(nn.Module):
    """Weighted next-token loss, and the share of answer tokens that would be predicted right."""

    def forward(self, hidden: Tensor, embedding: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = F.linear(hidden, embedding).float().flatten(0, 1)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
        weights = weights.flatten()
        answers = (weights == ANSWER).float()
        hits = (logits.detach().argmax(-1) == targets.flatten()).float()
        return (losses * weights).sum() / weights.sum(), (hits * answers).sum() / answers.sum().clamp(min=1)


def parse_phases(text: str) -> list[tuple[int, float]]:
    """[(length, share of the budget at which it ends)]"""
    phases, end = [], 0.0
    for part in text.split(","):
        length, share = part.split(":")
        end += float(share)
        phases.append((int(length), end))
    if not math.isclose(end, 1.0):
        raise SystemExit(f"the shares of --phases add up to {end}, not to 1")
    return phases


def rate(step: int, progress: float, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, used: float) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "used": used}
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def main() -> None:
    p = argparse.ArgumentParser()
    for name in ("corpus", "tasks", "tokenizer", "out"):
        p.add_argument(f"--{name}", type=Path, required=True)
    p.add_argument("--seconds", type=float)
    p.add_argument("--steps", type=int)
    p.add_argument("--phases", default=PHASES)
    p.add_argument("--tokens-per-step", type=int, default=131_072)
    p.add_argument("--peak", type=float, default=2.5e-3)
    p.add_argument("--dropout", type=float, default=0.1, help="the text is read dozens of times; without it the model learns it by heart")
    p.add_argument("--warmup", type=int, default=200)
    p.add_argument("--workers", type=int, default=14)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--save-every", type=float, default=90, help="seconds between checkpoints")
    p.add_argument("--log-every", type=int, default=50)
    p.add_argument("--resume", type=Path, help="checkpoint to go on from")
    p.add_argument("--attention", choices=["any", "flash", "cudnn"], default="any", help="force one of PyTorch's fused kernels")
    p.add_argument("--tiny", action="store_true", help="a tiny model, to try the script")
    args = p.parse_args()
    if (args.seconds is None) == (args.steps is None):
        p.error("give either --seconds or --steps")

    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    if args.attention != "any":
        torch.backends.cuda.enable_flash_sdp(args.attention == "flash")
        torch.backends.cuda.enable_cudnn_sdp(args.attention == "cudnn")
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_math_sdp(False)
    args.out.mkdir(parents=True, exist_ok=True)
    model = Llama(TINY if args.tiny else Config()).to(device)
    for layer in model.model.layers:
        layer.dropout = args.dropout
    loss_of: nn.Module = Loss()
    decayed = [w for w in model.parameters() if w.dim() == 2]
    others = [w for w in model.parameters() if w.dim() != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.peak, betas=(0.9, 0.95), fused=cuda)
    step, used_before = 0, 0.0
    if args.resume:
        state = torch.load(args.resume, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, used_before = state["step"], state["used"]
    if cuda:
        # Layer by layer: all layers share one graph, which compiles in a fraction of the time the whole model takes.
        for layer in model.model.layers:
            layer.compile(dynamic=False)
        loss_of.compile(dynamic=False)

    corpus = Corpus.load(args.corpus)
    began = saved = logged = time.monotonic()
    seen_tokens, checkpoint = 0, args.out / "checkpoint.pt"

    def used() -> float:
        return used_before + time.monotonic() - began if args.seconds else float(step)

    budget = args.seconds or args.steps
    for length, end in parse_phases(args.phases):
        if used() / budget >= end:
            continue
        batch = max(1, args.tokens_per_step // length)
        batches = Batches(corpus, args.tasks, args.tokenizer, length, batch, seed=args.seed * 100_000 + step)
        for ids, weights in loader(batches, args.workers):
            progress = used() / budget
            if progress >= end:
                break
            ids, weights = ids.to(device, non_blocking=True).long(), weights.to(device, non_blocking=True).float()
            for group in optimizer.param_groups:
                group["lr"] = rate(step, progress, args.peak, args.warmup)
            with torch.autocast(device, torch.bfloat16, enabled=cuda):
                loss, answers = loss_of(model.hidden(ids[:, :-1]), model.model.embed_tokens.weight, ids[:, 1:], weights)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            seen_tokens += batch * length
            if step % args.log_every == 0:
                value = loss.item()
                now = time.monotonic()
                print(f"{used():8.1f} step {step} length {length} loss {value:.3f} answers {answers.item():.3f} lr {rate(step, progress, args.peak, args.warmup):.2e} {seen_tokens / (now - logged) / 1e6:.2f} Mtok/s", flush=True)
                logged, seen_tokens = now, 0
                if not math.isfinite(value):
                    raise SystemExit("the loss is not finite")
                if now - saved > args.save_every:
                    save(checkpoint, model, optimizer, step, used())
                    saved = now
    save(checkpoint, model, optimizer, step, used())
    print(f"done: {step} steps, {used():.0f} used", flush=True)


if __name__ == "__main__":
    main()
