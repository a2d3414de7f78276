"""to_hf.py MODEL.gguf FOLDER: the same model as a Hugging Face folder in f32. Its tokenizer is for equal shapes, not for equal texts."""
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    source, folder = sys.argv[1:]
    where, name = os.path.split(os.path.abspath(source))
    AutoTokenizer.from_pretrained(where, gguf_file=name).save_pretrained(folder)
    read = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float32)
    # It calls itself quantised, which cannot be saved; its weights are not.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)


main()
