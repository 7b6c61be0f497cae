"""Training Qwen2.5-VL-7B's shape on one picture and about 50 tokens of text a sample: samples a second, and memory.

    python benchmarks/one_picture.py [--engines tunesmith loop loop-checkpointing ...] [--small]

Random weights of the real shapes; LoRA r64 on every linear layer of vision tower and language model; one 512x512
picture a sample, 16 samples an update. `loop` is what a hundred lines can do with public pieces: transformers' model,
PEFT, PyTorch's variable-length kernel handed to transformers as its flash attention, Liger's kernels, logits only
where labels are. Each engine runs in a process of its own. Needs a GPU with 80 GB; `--small` runs a toy on anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

SAMPLES, TEXT_TOKENS, ANSWER_TOKENS, SIDE = 16, 50, 10, 512
STEPS, WARMUP = 14, 4
PAD, START, END, TURN = 3, 4, 5, 6
RANK, ALPHA = 64, 16


def shape(small: bool) -> Any:
    """The config of Qwen2.5-VL-7B-Instruct, or of a toy."""
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    text = {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "max_position_embeddings": 128000,
        "rope_parameters": rope,
    }
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584,
              "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}  # fmt: skip
    if small:
        text |= {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 1024,
            "rope_parameters": {**rope, "mrope_section": [2, 3, 3]},
        }
        vision |= {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64,
                   "fullatt_block_indexes": [1]}  # fmt: skip
    return AutoConfig.for_model(
        "qwen2_5_vl", text_config=text, vision_config=vision, image_token_id=PAD, video_token_id=7,
        vision_start_token_id=START, vision_end_token_id=END, tie_word_embeddings=False,
    )  # fmt: skip


def model_of(small: bool, device: torch.device) -> Any:
    """Random weights on the device, in bf16 there."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with device:
        torch.set_default_dtype(dtype)
        model = AutoModelForImageTextToText.from_config(shape(small), dtype=dtype)
        torch.set_default_dtype(torch.float32)
    return model


def pictures(folder: Path, number: int) -> list[Path]:
    """JPEG files with something in them."""
    files = []
    for index in range(number):
        random = np.random.default_rng(index)
        coarse = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        files.append(folder / f"{index}.jpg")
        picture.save(files[-1], quality=90)
    return files


def line(index: int, placeholders: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of one sample and which are trained: a picture, a question, an answer."""
    random = np.random.default_rng(1000 + index)
    text = random.integers(10, 1000, TEXT_TOKENS)
    tokens = np.concatenate([[TURN, START], np.full(placeholders, PAD), [END], text]).astype(np.int32)
    trained = np.zeros(len(tokens), bool)
    trained[-ANSWER_TOKENS:] = True
    return tokens, trained


def of_tunesmith(folder: Path, small: bool, checkpointing: bool) -> Iterator[None]:
    """The product's own loop, input pipeline and all."""
    import hashlib

    from tunesmith.config.experiment import Optimizer, Pixels
    from tunesmith.data.example import Example
    from tunesmith.data.picture import Picture
    from tunesmith.methods.lora import Lora
    from tunesmith.model import attention, kernels
    from tunesmith.model.checkpointing import checkpoint
    from tunesmith.model.families._sight import Sight
    from tunesmith.model.families.qwen2_5_vl import Qwen25Vl
    from tunesmith.model.loaded import LoadedModel
    from tunesmith.model.trainable import make_trainable
    from tunesmith.train.examples import Examples
    from tunesmith.train.fit import fit
    from tunesmith.train.loss import answer_loss
    from tunesmith.train.optimizer import build_optimizer
    from tunesmith.train.updates import Updates

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compute = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = model_of(small, device)
    file = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "max_pixels": 2**24}
    sight = Sight.of(Pixels(size=(SIDE, SIDE)), file)
    family = Qwen25Vl(tokenizer(), model.config, sight=sight)
    name, reason = attention.choose("auto", device, compute)
    attention.use(model, name)
    kernels.use(model, kernels.choose("auto", device)[0])
    family.ready(model)
    model.requires_grad_(False)
    if checkpointing:
        checkpoint(model, "full")
    loaded = LoadedModel(model, family, device, compute, name, (reason,))
    lora = Lora(rank=RANK, alpha=ALPHA)
    trainable = make_trainable(loaded, {"vision": lora, "language": lora}, seed=0)
    examples = []
    for index, path in enumerate(pictures(folder, SAMPLES * 2)):
        known = Picture(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), SIDE, SIDE, "", root=folder)
        placed = sight.place("p", known, 2)
        tokens, trained = line(index, placed.num_tokens)
        examples.append(Example(f"p:{index}", tokens, trained, pictures=(placed,)))
    updates = Updates("benchmark", Examples(examples), SAMPLES, 2**16, STEPS, 0, workers=8)
    settings = Optimizer()
    optimizer = build_optimizer(trainable.groups, settings)
    for _ in fit(trainable, updates, optimizer, settings, answer_loss):
        yield


def tokenizer() -> Any:
    """One that has the control tokens and little else: the samples are made of ids."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    names = [
        "a",
        "b",
        "c",
        "<|image_pad|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|im_start|>",
        "<|video_pad|>",
    ]
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, "a"))
    )
    made.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": names[3:]})
    made.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    )
    return made


def of_loop(folder: Path, small: bool, checkpointing: bool) -> Iterator[None]:
    """A short loop of public pieces, pixels ready in memory."""
    from peft import LoraConfig, get_peft_model
    from torch.nn.attention.varlen import varlen_attn
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    device = torch.device("cuda")
    text: dict[str, Any] = {}

    def attend(
        module: Any, q: Any, k: Any, v: Any, attention_mask: Any = None, scaling: float = 1.0, **more: Any
    ) -> Any:
        causal = module.is_causal
        ends = text["ends"] if causal else more["cu_seq_lens_q"]
        most = text["most"] if causal else int(more["max_length_q"])
        groups = q.shape[1] // k.shape[1]
        q, k, v = (one[0].transpose(0, 1).to(torch.bfloat16) for one in (q, k, v))
        extras = {} if groups == 1 else {"enable_gqa": True}
        window = (-1, 0) if causal else (-1, -1)
        out = varlen_attn(q, k, v, ends, ends, most, most, scale=scaling, window_size=window, **extras)
        return out[None], None

    ALL_ATTENTION_FUNCTIONS.register("flash_of_torch", attend)
    model = model_of(small, device)
    for module in model.modules():
        if "config" in vars(module):
            module.config._attn_implementation_internal = "flash_of_torch"
    from liger_kernel.transformers import apply_liger_kernel_to_qwen2_5_vl

    apply_liger_kernel_to_qwen2_5_vl(fused_linear_cross_entropy=False, model=model)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    names = "q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|qkv|proj"
    targets = rf"model\.(language_model\.layers|visual\.blocks)\.\d+\.\w+\.({names})"
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in weights:
        weight.data = weight.data.float()
    optimizer = torch.optim.AdamW(weights, lr=2e-4, fused=True)
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 2**24})
    batches = []
    files = pictures(folder, SAMPLES * 2)
    for start in (0, SAMPLES):
        opened = [Image.open(path) for path in files[start : start + SAMPLES]]
        pixels = processor(opened, return_tensors="pt")
        grids = pixels["image_grid_thw"]
        lines = [line(start + i, int(grid.prod()) // 4) for i, grid in enumerate(grids)]
        tokens = torch.from_numpy(np.concatenate([one for one, _ in lines])).long()[None]
        trained = torch.from_numpy(np.concatenate([one for _, one in lines]))
        sizes = torch.tensor([0, *(len(one) for one, _ in lines)])
        positions = [
            model.base_model.model.model.get_rope_index(
                torch.from_numpy(one)[None].long(),
                mm_token_type_ids=torch.from_numpy(one == PAD)[None].int(),
                image_grid_thw=grid[None],
            )[0]
            for (one, _), grid in zip(lines, grids, strict=True)
        ]
        batches.append((tokens, trained, sizes, torch.cat(positions, 2), pixels["pixel_values"], grids))
    model.train()
    for step in range(STEPS):
        tokens, trained, sizes, positions, values, grids = batches[step % 2]
        text["ends"], text["most"] = sizes.cumsum(0).to(device, torch.int32), int(sizes.max())
        places = trained.nonzero().squeeze(1).to(device)
        tokens = tokens.to(device)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            out = model(
                input_ids=tokens,
                pixel_values=values.to(device),
                image_grid_thw=grids.to(device),
                position_ids=positions.to(device),
                use_cache=False,
                logits_to_keep=places - 1,
            )
            loss = torch.nn.functional.cross_entropy(out.logits[0].float(), tokens[0, places])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        yield


ENGINES: dict[str, Callable[[Path, bool], Iterator[None]]] = {
    "tunesmith": lambda folder, small: of_tunesmith(folder, small, False),
    "tunesmith-checkpointing": lambda folder, small: of_tunesmith(folder, small, True),
    "loop": lambda folder, small: of_loop(folder, small, False),
    "loop-checkpointing": lambda folder, small: of_loop(folder, small, True),
}


def measure(engine: str, small: bool) -> dict[str, Any]:
    """Median seconds of an update, samples a second and peak memory of one engine."""
    with tempfile.TemporaryDirectory() as folder:
        times, before = [], time.perf_counter()
        for step, _ in enumerate(ENGINES[engine](Path(folder), small)):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            if step >= WARMUP:
                times.append(now - before)
            before = now
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    median = float(np.median(times))
    return {
        "engine": engine,
        "samples_a_second": SAMPLES / median,
        "update_seconds": median,
        "fastest": min(times),
        "slowest": max(times),
        "peak_gib": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.small:
        global SIDE
        SIDE = 84
    if asked.one:
        print(json.dumps(measure(asked.one, asked.small)))
        return
    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU", torch.__version__)
    print(f"{'engine':<26}{'samples/s':>10}{'ms':>8}{'fastest':>9}{'slowest':>9}{'peak GiB':>10}")
    for engine in asked.engines:
        command = [sys.executable, __file__, "--one", engine, *(["--small"] if asked.small else [])]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            print(f"{engine:<26}failed: {ran.stderr.strip().splitlines()[-1][:200]}")
            print("\n".join(ran.stderr.strip().splitlines()[-12:]), file=sys.stderr)
            continue
        got = json.loads(ran.stdout.strip().splitlines()[-1])
        print(
            f"{engine:<26}{got['samples_a_second']:>10.2f}{1000 * got['update_seconds']:>8.0f}"
            f"{1000 * got['fastest']:>9.0f}{1000 * got['slowest']:>9.0f}{got['peak_gib']:>10.1f}"
        )


if __name__ == "__main__":
    main()
