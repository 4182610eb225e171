"""Splits the corpus into training and held-out text, and packs the training text as token ids.

Held-out text that the repository ships (heldout.txt) has to be free to ship: public-domain addresses and Moby-Dick
chapters, and chapters of the Rust book (MIT or Apache-2.0). The validation file has too few of them for haystacks of
8,192 tokens, so every eighth address and every eighth Rust chapter of the training file is held out as well. Passages
of the training text that repeat a held-out one (the novel is there as chapters and whole) are cut out of it.

    python corpus.py --train train.txt.xz --val val.txt.xz --tokenizer DIR --heldout heldout.txt --out train.npz
"""
import argparse
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from text import read_documents, write_documents

HOLD_EVERY = 8
SHINGLE = 10  # words in a row that count as the same passage
FREE_WORD = re.compile(r"\b[a-z]{4,10}\b")


def kind(document: str) -> str:
    head = document[:4000]
    if head.startswith("{'chapter'"):
        return "moby-escaped"  # the same chapters as escaped one-line records
    if head.startswith("CHAPTER") or "Ishmael" in document:
        return "moby"
    if "```powershell" in document.lower() or "PowerShell" in document:
        return "docs"
    if "```rust" in document or "{{#rustdoc" in document or "src/main.rs" in document:
        return "rust"
    if re.search(r"fellow[- ]citizens|members of (the )?congress|house of representatives|my countrymen", head, re.I):
        return "address"
    return "docs"


def shingles(text: str) -> list[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return [" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))]


def without_overlap(document: str, seen: set[str], is_prose: bool) -> str:
    """The document without the paragraphs that share a shingle with held-out text."""
    if not is_prose:
        return document
    return "\n\n".join(p for p in document.split("\n\n") if seen.isdisjoint(shingles(p)))


def split(train: list[str], val: list[str]) -> tuple[list[str], list[str]]:
    held = [d for d in val if kind(d) in ("address", "moby", "rust")]
    kept, counts = [], Counter()
    for document in train:
        k = kind(document)
        counts[k] += 1
        if k == "moby-escaped":
            continue
        if k in ("address", "rust") and counts[k] % HOLD_EVERY == 0:
            held.append(document)
        else:
            kept.append((k, document))
    seen = {s for d in held for s in shingles(d)}
    kept = [without_overlap(d, seen, k != "docs") for k, d in kept]
    return [d for d in kept if len(d) > 200], held


def free_words(documents: list[str], evaluation: set[str]) -> list[str]:
    """Ordinary words of the training text, of any number of tokens, for keys and values outside the word lists."""
    counts = Counter(w for d in documents for w in FREE_WORD.findall(d))
    return sorted(w for w, n in counts.items() if n >= 30 and w not in evaluation)


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    for name in ("train", "val", "tokenizer", "tasks", "heldout", "out"):
        args.add_argument(f"--{name}", type=Path, required=True)
    args = args.parse_args()
    train, held = split(read_documents(args.train), read_documents(args.val))
    write_documents(args.heldout, held)
    print("held out:", Counter(kind(d) for d in held), sum(map(len, held)), "characters")
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    encoded = [np.array(e.ids, dtype=np.uint16) for e in tokenizer.encode_batch(train)]
    words = free_words(train, set(json.loads(args.tasks.read_text())["words"]["evaluation"]))
    offsets = np.cumsum([0] + [len(e) for e in encoded])
    np.savez_compressed(args.out, ids=np.concatenate(encoded), offsets=offsets, words=np.array(words))
    print("train:", len(train), "documents,", offsets[-1], "tokens,", sum(map(len, train)) / offsets[-1], "characters per token;", len(words), "free words")
