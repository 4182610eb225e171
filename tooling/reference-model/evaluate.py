"""Scores exported weights on held-out text, decoding greedily in float32, and writes a JSON of scores.

`score` is the mean share of references found in the answer (cut at its end); `exact` is the share of answers that are right
as a whole. Samples depend on --seed alone. The SnapKV rows keep that many tokens of a 4,096-token prompt. The file is
written after every row; rows that it already has are not measured again.

    python evaluate.py --model DIR --tasks tasks.json --text val.txt --out scores.json
"""
import argparse
import itertools
import json
import math
import time
from pathlib import Path
from random import Random
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from caches import FullCache, SnapKVCache
from export import read_weights
from model import TINY, Config, Llama
from tasks import Assembler, EvaluationPool, Group, TaskText, chain, common_words, key_values, needles
from text import read_documents

Make = Callable[[TaskText, EvaluationPool], Group]


def standard_chain(text: TaskText, pool: EvaluationPool) -> Group:
    return chain(text, pool, pool.distinct_words(text.tasks["variable-chain"]["hops"] + 1))


def standard_common(task: str) -> Make:
    def make(text: TaskText, pool: EvaluationPool) -> Group:
        t = text.tasks[task]
        return common_words(text, pool, t["counts"], t["others"], t["otherCount"])

    return make


SETTINGS: dict[str, Make] = {
    "one number needle": lambda t, p: needles(t, p, "needle-number", 1),
    "one word needle": lambda t, p: needles(t, p, "needle-word", 1),
    "eight number needles": lambda t, p: needles(t, p, "needle-number", 8),
    "eight word needles": lambda t, p: needles(t, p, "needle-word", 8),
    "32 key-value pairs": lambda t, p: key_values(t, p, t.tasks["key-value"]["pairs"]),
    "variable chain, 4 hops": standard_chain,
    "most common word": standard_common("common-word"),
    "two most common words": standard_common("common-words"),
}
SNAPKV = ["one number needle", "one word needle", "eight number needles", "32 key-value pairs"]
LAST = 256  # tokens whose perplexity is measured


class Evaluator:
    def __init__(self, model: Llama, text: TaskText, tokenizer: Tokenizer, documents: list[str], device: str):
        self.model, self.text, self.tokenizer, self.device = model, text, tokenizer, device
        self.assembler = Assembler(text, tokenizer)
        self.documents = [np.array(e.ids, dtype=np.int64) for e in tokenizer.encode_batch(documents)]

    def haystack(self, length: int, rng: Random) -> np.ndarray:
        """Whole documents in random order, joined, until there are enough tokens."""
        pieces: list[np.ndarray] = []
        while sum(map(len, pieces)) < length:
            for i in rng.sample(range(len(self.documents)), len(self.documents)):
                pieces += [self.documents[i], np.array(self.assembler.separator)]
                if sum(map(len, pieces)) >= length:
                    break
        return np.concatenate(pieces)[:length]

    def read(self, ids: torch.Tensor, cache: FullCache) -> torch.Tensor:
        """The hidden state of a prompt's last token, [batch, 1, width]."""
        return self.model.hidden(ids, 0, cache)[:, -1:]

    @torch.no_grad()
    def generate(self, prompts: list[list[int]], tokens: int, make_cache: Callable[[], FullCache]) -> list[str]:
        cache, ids = make_cache(), torch.tensor(prompts, device=self.device)
        length, out = ids.shape[1], []
        hidden = self.read(ids, cache)
        for i in range(tokens):
            out.append(self.model.logits(hidden).argmax(-1))
            if i + 1 < tokens:
                hidden = self.model.hidden(out[-1], length + i, cache)
        return [self.answer(row) for row in torch.cat(out, dim=1).tolist()]

    def answer(self, ids: list[int]) -> str:
        """The text up to EOS or a newline, without the full stop at its end."""
        ids = ids[: ids.index(self.assembler.eos)] if self.assembler.eos in ids else ids
        return self.tokenizer.decode(ids).split("\n")[0].strip().removesuffix(self.text.prompt["answerEnd"])

    def run(self, setting: str, length: int, samples: int, seed: int, batch: int, make_cache=FullCache, context: str = "full") -> dict:
        began, found, exact = time.monotonic(), [], []
        rng = Random(f"{seed}/{setting}/{length}")
        pool = EvaluationPool(self.text, rng)
        for start in range(0, samples, batch):
            prompts, questions = [], []
            for _ in range(min(batch, samples - start)):
                group = SETTINGS[setting](self.text, pool)
                question = rng.choice(group.questions)
                prompts.append(self.assembler.prompt(self.haystack(length, rng), group, question, length, rng))
                questions.append(question)
            for q, got in zip(questions, self.generate(prompts, 14 if "chain" in setting else 8, make_cache)):
                pieces = [w.strip(",") for w in got.split()]
                found.append(sum(r in pieces for r in q.references) / len(q.references))
                exact.append(got == q.answer.strip())
        row = {"task": setting, "length": length, "cache": context, "samples": samples, "score": round(float(np.mean(found)), 4), "exact": round(float(np.mean(exact)), 4)}
        print(json.dumps(row), f"{time.monotonic() - began:.1f} s", flush=True)
        return row

    @torch.no_grad()
    def perplexity(self, task: str, length: int, samples: int, seed: int) -> dict:
        """Of the last tokens of a text of that length, joined documents as above."""
        rng, losses = Random(f"{seed}/text/{length}"), []
        for _ in range(samples):
            ids = torch.tensor([[self.assembler.bos, *self.haystack(length - 1, rng).tolist()]], device=self.device)
            hidden = self.model.hidden(ids)[:, -LAST - 1 : -1]
            losses.append(F.cross_entropy(self.model.logits(hidden)[0], ids[0, -LAST:]).item())
        row = {"task": task, "length": length, "cache": "full", "samples": samples, "score": round(math.exp(np.mean(losses)), 3)}
        print(json.dumps(row), flush=True)
        return row


def load(folder: Path, device: str, tiny: bool = False) -> Llama:
    """The shipped (float16-rounded) weights, to be computed with in float32."""
    model = Llama(TINY if tiny else Config())
    model.load_state_dict({k: w.float() for k, w in read_weights(folder).items()})
    return model.to(device).eval()


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--tokenizer", type=Path, required=True)
    p.add_argument("--tasks", type=Path, required=True)
    p.add_argument("--text", type=Path, required=True)
    p.add_argument("--out", type=Path)
    p.add_argument("--lengths", type=int, nargs="*", default=[1024, 4096, 8192])
    p.add_argument("--samples", type=int, default=128)
    p.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    p.add_argument("--snapkv", type=int, nargs="*", default=[512, 256], help="rows kept per KV head")
    p.add_argument("--snapkv-length", type=int, default=4096)
    p.add_argument("--snapkv-samples", type=int, default=64)
    p.add_argument("--batch-tokens", type=int, default=131_072)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--tiny", action="store_true")
    args = p.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False
    text = TaskText.load(args.tasks)
    e = Evaluator(load(args.model, device, args.tiny), text, Tokenizer.from_file(str(args.tokenizer)), read_documents(args.text), device)
    rows = json.loads(args.out.read_text())["rows"] if args.out and args.out.exists() else []
    known = {(row["task"], row["length"], row["cache"]) for row in rows}

    def measure(task: str, length: int, cache: str, run: Callable[[], dict]) -> None:
        if (task, length, cache) in known:
            return
        rows.append(run())
        if args.out:
            args.out.write_text(json.dumps({"text": args.text.name, "seed": args.seed, "rows": rows}, indent=1) + "\n")

    for n in args.lengths:
        for setting in args.only:
            measure(setting, n, "full", lambda: e.run(setting, n, args.samples, args.seed, max(1, args.batch_tokens // n)))
        task = f"perplexity of the last {LAST} tokens"
        measure(task, n, "full", lambda: e.perplexity(task, n, 32, args.seed))
    n = args.snapkv_length
    for setting, pooling, kept in itertools.product(SNAPKV, ("max", "avg"), args.snapkv):
        name = f"snapkv {kept}, {pooling} pooling"
        measure(setting, n, name, lambda: e.run(setting, n, args.snapkv_samples, args.seed, max(1, args.batch_tokens // n),
                                                lambda: SnapKVCache(kept, pooling=pooling), name))


if __name__ == "__main__":
    main()
