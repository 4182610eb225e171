"""Writes a checkpoint's weights in Hugging Face layout: config.json, generation_config.json, model.safetensors in float16.

--shard-mib splits the weights into files of at most that size (with the usual index); `--join` makes one file of them.

    python export.py --checkpoint RUN/checkpoint.pt --out DIR
    python export.py --join SHARDS --out DIR
"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from model import TINY, Config

METADATA = {"format": "pt"}


def config_json(c: Config) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "hidden_size": c.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": c.intermediate_size,
        "max_position_embeddings": c.max_position_embeddings,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": c.num_attention_heads,
        "num_hidden_layers": c.num_hidden_layers,
        "num_key_value_heads": c.num_key_value_heads,
        "rms_norm_eps": c.rms_norm_eps,
        "rope_scaling": None,
        "rope_theta": c.rope_theta,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": c.vocab_size,
    }


def write_configs(out: Path, config: Config) -> None:
    for name, value in {
        "config.json": config_json(config),
        "generation_config.json": {"bos_token_id": 0, "eos_token_id": 1, "do_sample": False},
    }.items():
        (out / name).write_text(json.dumps(value, indent=2) + "\n")


def write_weights(out: Path, weights: dict[str, torch.Tensor], shard_bytes: int | None) -> None:
    shards: list[dict[str, torch.Tensor]] = [{}]
    for name, w in sorted(weights.items()):
        if shard_bytes and shards[-1] and sum(x.nbytes for x in shards[-1].values()) + w.nbytes > shard_bytes:
            shards.append({})
        shards[-1][name] = w.contiguous()
    if len(shards) == 1:
        save_file(shards[0], out / "model.safetensors", METADATA)
        return
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())}, "weight_map": {}}
    for i, shard in enumerate(shards, start=1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, out / file, METADATA)
        index["weight_map"] |= dict.fromkeys(shard, file)
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: w for file in sorted(folder.glob("model*.safetensors")) for name, w in load_file(file).items()}


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path)
    source.add_argument("--join", type=Path)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--shard-mib", type=float)
    p.add_argument("--tiny", action="store_true")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.checkpoint:
        weights = {k: w.half() for k, w in torch.load(args.checkpoint, map_location="cpu")["model"].items()}
    else:
        weights = read_weights(args.join)
    if not all(w.isfinite().all() for w in weights.values()):
        raise SystemExit("weights that float16 cannot hold")
    write_configs(args.out, TINY if args.tiny else Config())
    write_weights(args.out, weights, int(args.shard_mib * 2**20) if args.shard_mib else None)
