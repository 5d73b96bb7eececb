"""Stable Diffusion 2: Stable Diffusion 1 with an OpenCLIP ViT-H, predicting noise or velocity."""

from __future__ import annotations

from dataclasses import replace

from ticli.models.families.family import EncoderPart
from ticli.models.families.sd1 import SD1

# diffusers' files of ViT-H leave its last layer out, so that the last one is the one to read.
SD2 = replace(SD1, name="sd2", encoders=(EncoderPart("clip_h", "text_encoder", "tokenizer"),))
WIDTH = 1024
