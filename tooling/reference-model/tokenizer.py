"""Trains the byte-level BPE tokenizer and writes it in Hugging Face layout.

Digits are split off first, in groups of up to three from the left, and every group of one to three digits is a token
of its own: a copied number is then a few whole tokens, so a cache-eviction method has to keep a few rows, not one row
per digit.

    python tokenizer.py --text train.txt --tasks ../../packages/eval/data/tasks.json --out DIR
"""
import argparse
import json
import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from text import read_documents

VOCAB_SIZE = 6144
BOS, EOS = "<|bos|>", "<|eos|>"
# How often the trainer is shown each number and each task word. BPE merges by count, so this has to be above the count
# of the rarest merge that still fits the vocabulary; it was raised until all of them came out as one token.
SHOWN = 4000


def train(documents: list[str], words: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[AddedToken(BOS, special=True), AddedToken(EOS, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    numbers = [f"{n:0{width}d}" for width in (2, 3) for n in range(10**width)]

    def texts():
        yield from documents
        shown = "\n".join(numbers + words)
        for _ in range(SHOWN):
            yield shown

    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def save(tokenizer: Tokenizer, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8704,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "special_tokens_map.json").write_text(json.dumps({"bos_token": BOS, "eos_token": EOS}, indent=2) + "\n")


def shown_words(tasks: dict) -> list[str]:
    """The words of the task templates and of the keys, with their leading space where they have one."""
    templates = [tasks["prompt"]["question"], *(t[k] for t in tasks["tasks"].values() for k in ("fact", "hop", "question", "answerPrefix") if k in t)]
    words = {w for t in templates for w in re.findall(r" ?[A-Za-z]+", re.sub(r"\{\w+\}", "", t if t[0].isspace() else f" {t}"))}
    return sorted(words | {f" {w}" for group in ("adjectives", "nouns") for w in tasks["words"][group]})


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("--text", type=Path, required=True)
    args.add_argument("--tasks", type=Path, required=True, help="tasks.json: the words of its templates and keys become single tokens")
    args.add_argument("--out", type=Path, required=True)
    args = args.parse_args()
    save(train(read_documents(args.text), shown_words(json.loads(args.tasks.read_text()))), args.out)
