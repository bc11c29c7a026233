"""An llm, an embedder and an image projector of random weights, about 100 KB each: the real engine
loads them.

They know nothing, but everything around them is real: the chat template, the grammar of a JSON
Schema, slots, image decoding. Seeded: the same numpy gives the same bytes each time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEADS, INNER, LAYERS = 32, 2, 64, 1
CONTEXT = 4096
SHORT_CONTEXT = 128
IMAGE, PATCH = 28, 14
TEMPLATE = (
    "{% for message in messages %}"
    "<{{ message.role }}>{{ message.content }}\n"
    "{% endfor %}<assistant>"
)


def tokens() -> tuple[list[bytes], list[int]]:
    """A vocabulary of single bytes, as SentencePiece spells them: any text, one token a byte."""
    words = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{byte:02X}>".encode() for byte in range(256)]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    return words, [int(kind) for kind in kinds + [gguf.TokenType.BYTE] * 256]


def write_llm(path: Path, pooling: gguf.PoolingType | None = None) -> Path:
    """A llama of one layer, which may say how it embeds texts."""
    chance = np.random.default_rng(20)
    words, kinds = tokens()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    _matrix(writer, chance, "token_embd.weight", len(words), WIDTH)
    _matrix(writer, chance, "output.weight", len(words), WIDTH)
    _ones(writer, "output_norm.weight", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _matrix(writer, chance, f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            _matrix(writer, chance, f"blk.{layer}.{name}.weight", INNER, WIDTH)
        _matrix(writer, chance, f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
        for name in ("attn_norm", "ffn_norm"):
            _ones(writer, f"blk.{layer}.{name}.weight", WIDTH)
    return _close(writer, path)


def write_embedder(path: Path) -> Path:
    """A BERT of one layer, whose first token stands for the text."""
    chance = np.random.default_rng(22)
    words, kinds = tokens()
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny-embedder")
    writer.add_context_length(SHORT_CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.CLS)
    writer.add_vocab_size(len(words))
    writer.add_token_type_count(1)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    _matrix(writer, chance, "token_embd.weight", len(words), WIDTH)
    _matrix(writer, chance, "token_types.weight", 1, WIDTH)
    _matrix(writer, chance, "position_embd.weight", SHORT_CONTEXT, WIDTH)
    _norm(writer, "token_embd_norm", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _linear(writer, chance, f"blk.{layer}.{name}", WIDTH, WIDTH)
        _linear(writer, chance, f"blk.{layer}.ffn_up", INNER, WIDTH)
        _linear(writer, chance, f"blk.{layer}.ffn_down", WIDTH, INNER)
        for name in ("attn_output_norm", "layer_output_norm"):
            _norm(writer, f"blk.{layer}.{name}", WIDTH)
    return _close(writer, path)


def write_projector(path: Path) -> Path:
    """A vision tower of one layer and LLaVA's projector of two matrices, for that llama."""
    chance = np.random.default_rng(21)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    writer.add_uint32("clip.vision.image_size", IMAGE)
    writer.add_uint32("clip.vision.patch_size", PATCH)
    writer.add_uint32("clip.vision.embedding_length", WIDTH)
    writer.add_uint32("clip.vision.feed_forward_length", INNER)
    writer.add_uint32("clip.vision.projection_dim", WIDTH)
    writer.add_uint32("clip.vision.block_count", LAYERS + 1)
    writer.add_uint32("clip.vision.attention.head_count", HEADS)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    places = (IMAGE // PATCH) ** 2 + 1
    _tensor(writer, "v.patch_embd.weight", _random(chance, WIDTH, 3, PATCH, PATCH))
    _matrix(writer, chance, "v.position_embd.weight", places, WIDTH)
    _tensor(writer, "v.class_embd", _random(chance, WIDTH))
    _norm(writer, "v.pre_ln", WIDTH)
    for layer in range(LAYERS + 1):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            _linear(writer, chance, f"v.blk.{layer}.{name}", WIDTH, WIDTH)
        _norm(writer, f"v.blk.{layer}.ln1", WIDTH)
        _norm(writer, f"v.blk.{layer}.ln2", WIDTH)
        _linear(writer, chance, f"v.blk.{layer}.ffn_up", INNER, WIDTH)
        _linear(writer, chance, f"v.blk.{layer}.ffn_down", WIDTH, INNER)
    _linear(writer, chance, "mm.0", WIDTH, WIDTH)
    _linear(writer, chance, "mm.2", WIDTH, WIDTH)
    return _close(writer, path)


def _random(chance: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return (chance.standard_normal(shape) * 0.3).astype(np.float32)


def _tensor(writer: gguf.GGUFWriter, name: str, values: NDArray[np.float32]) -> None:
    writer.add_tensor(name, values)


def _matrix(
    writer: gguf.GGUFWriter, chance: np.random.Generator, name: str, rows: int, columns: int
) -> None:
    _tensor(writer, name, _random(chance, rows, columns))


def _ones(writer: gguf.GGUFWriter, name: str, width: int) -> None:
    _tensor(writer, name, np.ones(width, dtype=np.float32))


def _norm(writer: gguf.GGUFWriter, name: str, width: int) -> None:
    _ones(writer, f"{name}.weight", width)
    _tensor(writer, f"{name}.bias", np.zeros(width, dtype=np.float32))


def _linear(
    writer: gguf.GGUFWriter, chance: np.random.Generator, name: str, rows: int, columns: int
) -> None:
    _matrix(writer, chance, f"{name}.weight", rows, columns)
    _tensor(writer, f"{name}.bias", np.zeros(rows, dtype=np.float32))


def _close(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_llm(folder / "tiny.gguf")
    write_embedder(folder / "tiny-embedder.gguf")
    write_projector(folder / "tiny-mmproj.gguf")
