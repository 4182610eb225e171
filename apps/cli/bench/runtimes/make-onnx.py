"""Writes the weights of a Llama GGUF file as an ONNX decoder with a cache: make-onnx.py IN.gguf OUT.onnx f32|q8|q4

The forms are those of the files that transformers.js loads: GroupQueryAttention, inputs and outputs of the same names, products in float32, in 8 bits
(dynamically quantised) or in 4 (MatMulNBits in blocks of 32). Weights are rounded anew, so that its text may differ. Needs onnx, onnxruntime,
numpy and gguf.
"""

import sys

import numpy as np
import onnx
from gguf import GGUFReader
from gguf.quants import dequantize
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

BLOCK = 32
MICROSOFT = "com.microsoft"

source, target, form = sys.argv[1:]
reader = GGUFReader(source)
tensors = {tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float32) for tensor in reader.tensors}


def field(name):
    return reader.fields[f"llama.{name}"].contents()


layers, width, heads, kv_heads = field("block_count"), field("embedding_length"), field("attention.head_count"), field("attention.head_count_kv")
head_dim = width // heads
positions, theta, epsilon = field("context_length"), field("rope.freq_base"), field("attention.layer_norm_rms_epsilon")

nodes, weights, inputs, outputs = [], [], [], []


def constant(name, value):
    weights.append(numpy_helper.from_array(value, name))
    return name


def node(kind, takes, gives, domain="", **attributes):
    nodes.append(helper.make_node(kind, takes, gives, domain=domain, **attributes))
    return gives[0]


def product(name, x, weight):
    """x [.., in] times weight [out, in]; in 4 bits its blocks of 32 have a scale and a whole zero point."""
    if form != "q4":
        return node("MatMul", [x, constant(f"{name}.weight", np.ascontiguousarray(weight.T))], [f"{name}.out"])
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
    low, high = np.minimum(blocks.min(2), 0), np.maximum(blocks.max(2), 0)
    scale = np.maximum((high - low) / 15, 1e-9).astype(np.float32)
    zero = np.clip(np.round(-low / scale), 0, 15).astype(np.uint8)
    codes = np.clip(np.round(blocks / scale[..., None]) + zero[..., None], 0, 15).astype(np.uint8)
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    if zero.shape[1] % 2:
        zero = np.pad(zero, ((0, 0), (0, 1)))
    parts = [
        constant(f"{name}.codes", packed),
        constant(f"{name}.scales", scale.reshape(-1)),
        constant(f"{name}.zeros", (zero[:, 0::2] | zero[:, 1::2] << 4).reshape(-1)),
    ]
    return node("MatMulNBits", [x, *parts], [f"{name}.out"], MICROSOFT, K=columns, N=rows, bits=4, block_size=BLOCK, accuracy_level=4)


def norm(name, x):
    gain = constant(name, tensors[name])
    return node("SimplifiedLayerNormalization", [x, gain], [f"{name}.out"], axis=-1, epsilon=epsilon, stash_type=1)


def takes(name, kind, shape):
    inputs.append(helper.make_tensor_value_info(name, kind, shape))
    return name


def gives(name, shape):
    outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


ids = takes("input_ids", TensorProto.INT64, ["batch", "tokens"])
mask = takes("attention_mask", TensorProto.INT64, ["batch", "total"])
angles = np.outer(np.arange(positions), theta ** (-np.arange(0, head_dim, 2) / head_dim)).astype(np.float32)
cos, sin = constant("cos", np.cos(angles)), constant("sin", np.sin(angles))
node("ReduceSum", [mask, constant("axis", np.array([1], np.int64))], ["seen"], keepdims=0)
node("Sub", ["seen", constant("one", np.array(1, np.int64))], ["before"])
node("Cast", ["before"], ["seqlens"], to=TensorProto.INT32)
node("Shape", [mask], ["shape"])
node("Gather", ["shape", constant("second", np.array(1, np.int64))], ["total64"])
node("Cast", ["total64"], ["total"], to=TensorProto.INT32)
x = node("Gather", [constant("embedding", tensors["token_embd.weight"]), ids], ["embedded"])
for layer in range(layers):
    at = f"blk.{layer}"
    normed = norm(f"{at}.attn_norm.weight", x)
    q, k, v = (product(f"{at}.{part}", normed, tensors[f"{at}.attn_{part}.weight"]) for part in "qkv")
    past = [takes(f"past_key_values.{layer}.{part}", TensorProto.FLOAT, ["batch", kv_heads, "past", head_dim]) for part in ("key", "value")]
    present = [f"present.{layer}.{part}" for part in ("key", "value")]
    for name in present:
        gives(name, ["batch", kv_heads, "total", head_dim])
    # GGUF's Llama weights are ordered for pairs that lie side by side.
    attended = node(
        "GroupQueryAttention", [q, k, v, *past, "seqlens", "total", cos, sin], [f"{at}.attended", *present], MICROSOFT,
        num_heads=heads, kv_num_heads=kv_heads, do_rotary=1, rotary_interleaved=1,
    )
    x = node("Add", [x, product(f"{at}.attn_output", attended, tensors[f"{at}.attn_output.weight"])], [f"{at}.middle"])
    normed = norm(f"{at}.ffn_norm.weight", x)
    gate = product(f"{at}.gate", normed, tensors[f"{at}.ffn_gate.weight"])
    up = product(f"{at}.up", normed, tensors[f"{at}.ffn_up.weight"])
    node("Sigmoid", [gate], [f"{at}.sigmoid"])
    node("Mul", [gate, f"{at}.sigmoid"], [f"{at}.silu"])
    node("Mul", [f"{at}.silu", up], [f"{at}.gated"])
    x = node("Add", [x, product(f"{at}.down", f"{at}.gated", tensors[f"{at}.ffn_down.weight"])], [f"{at}.end"])
normed = norm("output_norm.weight", x)
node("Slice", [normed, constant("from", np.array([-1], np.int64)), constant("to", np.array([2**62], np.int64)), "axis"], ["last"])
head = product("head", "last", tensors.get("output.weight", tensors["token_embd.weight"]))
node("Identity", [head], ["logits"])
gives("logits", ["batch", 1, tensors["token_embd.weight"].shape[0]])

graph = helper.make_graph(nodes, "decoder", inputs, outputs, weights)
opsets = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), target)
if form == "q8":
    options = {"DefaultTensorType": TensorProto.FLOAT}
    quantize_dynamic(target, target, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul"], extra_options=options)
