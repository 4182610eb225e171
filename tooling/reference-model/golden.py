"""Writes golden data for other implementations of the model: logits in float32, computed from the shipped float16 weights.

golden.json is the index. For a prompt NAME, golden.safetensors holds NAME.ids [n]; NAME.top_ids and NAME.top_logits
[n, 8], best first, for every position; NAME.logits [p, vocab] at the positions listed in the index. tokenizer.json
holds texts and their ids. With --compare it also checks that transformers computes the same logits from the folder.

    python golden.py --model DIR --tasks tasks.json --text heldout.txt --out golden --compare
"""
import argparse
import json
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from evaluate import Evaluator, load
from tasks import EvaluationPool, TaskText, needles
from text import read_documents

PLAIN = "The string is empty, so the function returns zero."
ODD = "naïve café — “Grüße”, 東京 2024-11-07, Ελλάδα; 🙂👩‍🚀\t\tx+=0x1F;\r\n\n   3.14159…  end ٣٤٥"
TEXTS = [
    "", " ", "  ", "\n", "\n\n", "a", "Hello, world!", "Hello  world", " leading", "trailing ", "tab\tand\r\nline",
    "0", "7", "42", "123", "1234", "4821375", " #4821375.", "1,234,567.89", "3.14159", "v2.0.1-rc3", "ⅫⅣ ½ ²³", "٣٤٥٦",
    "I'm sure they've said it's theirs, we'll see'd", "HELLO HTML5", "snake_case camelCase", "std::vector<int> v{1, 2};",
    "Get-ChildItem -Path C:\\Temp | Where-Object { $_.Length -gt 10KB }", "naïve café", "Grüße aus München", "日本語テキスト",
    "한국어", "Привет, мир", "🙂👩‍🚀", "e\u0301 é", "\u00a0nbsp\u200bzero", "<|bos|>", "<|bos|>text<|eos|>", "<|eos|", "....!!!???", "—–-", "“quoted” ‘text’",
    "The magic number of quiet harbor is #4821375.", "Question: What does record #482913 hold?\nAnswer: Record #482913 holds #", ODD,
]


def prompts(e: Evaluator) -> dict[str, tuple[str, list[int]]]:
    rng = Random("golden")
    pool = EvaluationPool(e.text, rng)

    def needle(length: int) -> list[int]:
        group = needles(e.text, pool, "needle-number", 2)
        return e.assembler.prompt(e.haystack(length, rng), group, group.questions[0], length, rng)

    def encoded(text: str) -> list[int]:
        return [e.assembler.bos, *e.tokenizer.encode(text).ids]

    return {
        "plain": ("a short sentence", encoded(PLAIN)),
        "odd": ("accents, other scripts, emoji, odd spaces", encoded(ODD)),
        "needle": ("a needle question", needle(300)),
        "long": ("a needle question over 4,096 tokens", needle(4096)),
    }


def full_positions(name: str, n: int) -> list[int]:
    if n <= 16:
        return list(range(n))
    if name == "long":
        return sorted({0, 1, 63, 64, 511, 512, 1023, 1024, 2047, 2048, 3071, 3072, 4000, 4064, n - 2, n - 1})
    return []


@torch.no_grad()
def main() -> None:
    p = argparse.ArgumentParser()
    for name in ("model", "tasks", "text", "out"):
        p.add_argument(f"--{name}", type=Path, required=True)
    p.add_argument("--compare", action="store_true")
    p.add_argument("--tiny", action="store_true")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    e = Evaluator(load(args.model, "cpu", args.tiny), TaskText.load(args.tasks), tokenizer, read_documents(args.text), "cpu")
    other = None
    if args.compare:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        other = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
        theirs = AutoTokenizer.from_pretrained(args.model)
        for text in TEXTS:
            assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text).ids, text

    tensors, index = {}, {}
    for name, (kind, ids) in prompts(e).items():
        logits = e.model(torch.tensor([ids]))[0]
        if other is not None:
            difference = (other(torch.tensor([ids])).logits[0] - logits).abs().max() / logits.abs().max()
            print(f"{name}: {len(ids)} tokens, transformers differs by {difference:.1e} of the largest logit")
            assert difference < 1e-4
        top = logits.topk(8, dim=-1)
        positions = full_positions(name, len(ids))
        tensors |= {f"{name}.ids": torch.tensor(ids, dtype=torch.int32), f"{name}.top_ids": top.indices.int(), f"{name}.top_logits": top.values.contiguous()}
        if positions:
            tensors[f"{name}.logits"] = logits[positions].contiguous()
        index[name] = {"kind": kind, "tokens": len(ids), "logitPositions": positions}
    save_file(tensors, args.out / "golden.safetensors")
    (args.out / "golden.json").write_text(json.dumps({"file": "golden.safetensors", "top": 8, "prompts": index}, indent=1) + "\n")
    strings = [{"text": t, "ids": tokenizer.encode(t).ids} for t in TEXTS]
    (args.out / "tokenizer.json").write_text(json.dumps(strings, ensure_ascii=False, indent=None).replace("}, {", "},\n {") + "\n")


if __name__ == "__main__":
    main()
