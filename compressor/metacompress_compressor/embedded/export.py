"""Writes a trained run as a Hugging Face LLaVA-1.5 checkpoint that transformers and vLLM both load.

python -m metacompress_compressor.embedded.export --run runs/embedded --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from .architecture import build_processor
from .stages import Student


def _vllm_key(key: str) -> str:
    """transformers drops `vision_model.` when it saves; vLLM wants it; transformers reads both."""
    for prefix in ("vision_tower.", "model.vision_tower."):
        if key.startswith(prefix) and not key.startswith(f"{prefix}vision_model."):
            return f"{prefix}vision_model.{key.removeprefix(prefix)}"
    return key


def export_checkpoint(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path
) -> None:
    """Writes model, tokenizer, processor and generation defaults.

    Args:
        model: The model, any float dtype; saved as bfloat16.
        tokenizer: Its tokenizer.
        out: Folder, made if missing; files in it are replaced.
    """
    model.to(torch.bfloat16).save_pretrained(out)
    weights = out / "model.safetensors"
    tensors = {_vllm_key(key): tensor for key, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    build_processor(tokenizer).save_pretrained(out)
    GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    ).save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of embedded.train")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    arguments = parser.parse_args()
    student = Student()
    state = torch.load(arguments.run / "polish.pt", weights_only=True)
    student.load_state_dict(state["student"])
    export_checkpoint(student.model, student.tokenizer, arguments.out)
    size = (arguments.out / "model.safetensors").stat().st_size / 1e6
    print(f"step {state['step']} -> {arguments.out} ({size:.1f} MB)")


if __name__ == "__main__":
    main()
