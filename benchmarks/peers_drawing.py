"""The programs that draw with words, each as far as it loads and saves them: for `peers.py`.

Nothing here is a copy of their code: it is imported from where it lies.
"""

from __future__ import annotations

import inspect
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import safetensors.torch
import torch
from peers_code import Rows, clip_tokenizer, cut, held, parts, pipe_of, with_rows
from peers_common import (
    ACCELERATOR,
    CLIPS,
    SDXL,
    WIDTHS,
    WORD,
    Program,
    added,
    by_width,
    layouts,
    numbered,
)
from peers_training import AiToolkit, HcpDiffusion, InvokeTraining, Kohya, OneTrainer, Original
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ticli.library import Target


class Diffusers(Program):
    """The installed loader, and the savers of the examples."""

    title = consumer = "diffusers"
    saves: tuple[str, ...] = ("sd1", "sd2", "sdxl", "flux")

    def takes(self, family: str) -> list[Target]:
        more = layouts("diffusers-bin", "concept-repo") if family in CLIPS else []
        return [Target("diffusers"), *more]

    def loaded(self, place: Path, family: str) -> Any:
        """Load with a real pipeline, as the hints of the export say."""
        from diffusers import FluxPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline

        models = parts(WIDTHS[family])
        names: dict[str, Any] = vars(pipe_of(models))
        kinds = {"sdxl": StableDiffusionXLPipeline, "flux": FluxPipeline}
        kind = kinds.get(family, StableDiffusionPipeline)
        needed = set(inspect.signature(kind.__init__).parameters) - {"self"}
        empty = {"vae", "unet", "scheduler", "transformer", "safety_checker", "feature_extractor"}
        more = {"requires_safety_checker": False} if "requires_safety_checker" in needed else {}
        pipe = kind(**names, **dict.fromkeys(empty & needed), **more)
        if len(models) == 1:
            pipe.load_textual_inversion(str(place))
            return pipe, models
        for number, (tokenizer, model) in enumerate(models.values(), 1):
            name = "learned_embeds" + ("" if number == 1 else f"_{number}")
            pipe.load_textual_inversion(
                str(place), weight_name=f"{name}.safetensors", tokenizer=tokenizer,
                text_encoder=model,
            )  # fmt: skip
        return pipe, models

    def read(self, place: Path, family: str) -> Rows:
        pipe, models = self.loaded(place, family)
        words = " ".join(numbered(WORD))
        for tokenizer, _ in models.values():
            if words not in pipe.maybe_convert_prompt(f"a photo of {WORD} cup", tokenizer):
                raise ValueError(f"{WORD} does not become {words}")
        return held(models, numbered(WORD))

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        examples = self.folder / "examples"
        names = {"torch": torch, "safetensors": safetensors, "logger": MagicMock()}
        arguments = SimpleNamespace(placeholder_token=WORD)
        models = with_rows(rows, added)
        if family == "flux":
            return [self._pivotal(folder / "run_emb.safetensors", "flux", models)]
        script = f"textual_inversion{'_sdxl' if family == 'sdxl' else ''}.py"
        save = cut(examples / "textual_inversion" / script, "save_progress", names)
        places = []
        for safe in (True, False):
            place = folder / ("safe" if safe else "pickled")
            place.mkdir()
            for number, (_, model, ids) in enumerate(models.values(), 1):
                name = "learned_embeds" + ("" if number == 1 else f"_{number}")
                path = place / (f"{name}.safetensors" if safe else f"{name}.bin")
                save(model, ids, ACCELERATOR, arguments, str(path), safe_serialization=safe)
            places.append(place)
        if family == "sdxl":
            places.append(self._pivotal(folder / "run_emb.safetensors", "sdxl", models))
        return places

    def _pivotal(self, path: Path, name: str, models: Mapping[str, Any]) -> Path:
        scripts = self.folder / "examples" / "advanced_diffusion_training"
        save = cut(
            scripts / f"train_dreambooth_lora_{name}_advanced.py",
            "TokenEmbeddingsHandler.save_embeddings",
            {"save_file": safetensors.torch.save_file},
        )
        ids = [each for _, _, each in models.values()]
        handler = SimpleNamespace(
            train_ids=ids[0], train_ids_t5=ids[-1],
            text_encoders=[model for _, model, _ in models.values()],
            tokenizers=[tokenizer for tokenizer, _, _ in models.values()],
        )  # fmt: skip
        save(handler, str(path))
        return path


class Automatic1111(Program):
    """EmbeddingDatabase.load_from_file behind the restricted unpickler, and both savers."""

    title, consumer = "AUTOMATIC1111", "a1111"
    saves: tuple[str, ...] = CLIPS

    def prepare(self) -> None:
        home = "modules.textual_inversion"
        real = [f"{home}.textual_inversion", f"{home}.image_embedding", "modules.safe"]
        shelf = self.shelf(*real)
        # numpy 2 has no more of it.
        np.product = np.prod  # type: ignore[attr-defined]
        self.stubs.add("numpy.product")
        self.old_torch()
        shelf.get("modules.errors").report = self.report
        shelf.get("modules.devices").device = torch.device("cpu")
        shared = shelf.get("modules.shared")
        shared.cmd_opts = SimpleNamespace(disable_safe_unpickle=False)
        shared.opts = SimpleNamespace(save_optimizer_state=False)
        shared.sd_model = MagicMock()
        shared.sd_model.cond_stage_model.tokenize.side_effect = self.tokenized
        shelf.get("modules.hashes").sha256 = lambda *_: "ab" * 32
        shelf.get("modules.safe")
        self.code = shelf.get(f"{home}.textual_inversion")
        self.images = shelf.get(f"{home}.image_embedding")
        self.tokenizer = clip_tokenizer()

    def report(self, text: str, **_: Any) -> None:
        """Raise what the program would only print."""
        raise ValueError(text.partition("\n")[0])

    def tokenized(self, texts: list[str]) -> Any:
        """Tokenize as the program's model does."""
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    def takes(self, family: str) -> list[Target]:
        if family not in SDXL:
            return super().takes(family)
        old = layouts("a1111-pt", "original-pt", "diffusers-bin") if family in CLIPS else []
        return [Target(self.consumer), Target("png"), *old]

    def database(self, family: str) -> Any:
        """Open an empty database of a model of this family."""
        database = self.code.EmbeddingDatabase()
        database.expected_shape = sum(WIDTHS[family].values())
        return database

    def read(self, place: Path, family: str) -> Rows:
        found = self.loaded(place, family)
        if place.suffix == ".png":
            # A host strips the text of a picture; its pixels are enough.
            with Image.open(place) as picture:
                bare = place.with_name("bare.png")
                picture.convert("RGB").save(bare)
            again = self.loaded(bare, family)
            if any(not torch.equal(again[key], found[key]) for key in found):
                raise ValueError("the pixels hold other vectors than the text")
        return found

    def loaded(self, place: Path, family: str) -> Rows:
        """Load one file, and find it in a prompt by its word."""
        database = self.database(family)
        database.load_from_file(str(place), place.name)
        if database.skipped_embeddings:
            raise ValueError(f"skipped: {database.skipped_embeddings}")
        ((name, word),) = database.word_embeddings.items()
        (tokens,) = self.tokenized([f"a photo of {name} cup"])
        matches = [database.find_embedding_at_position(tokens, i)[0] for i in range(len(tokens))]
        if matches.count(word) != 1:
            raise ValueError(f"{name} is not found in a prompt")
        if isinstance(word.vec, dict):
            return dict(word.vec)
        return {next(iter(WIDTHS[family])): word.vec}

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        (vectors,) = rows.values()
        word = self.code.Embedding(vectors, "mug", 500)
        word.save(str(folder / "mug.pt"))
        data = {
            "string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "mug",
            "step": 500, "sd_checkpoint": "ab12", "sd_checkpoint_name": "model",
        }  # fmt: skip
        picture = Image.new("RGB", (512, 512), "teal")
        pixels = self.images.insert_image_data_embed(picture, data)
        info = PngInfo()
        info.add_text("sd-ti-embedding", self.images.embedding_to_b64(data))
        pixels.save(folder / "mug.png", pnginfo=info)
        pixels.save(folder / "pixels.png")
        return [folder / name for name in ("mug.pt", "mug.png", "pixels.png")]


class Forge(Automatic1111):
    """The backend's own EmbeddingDatabase, which has a tokenizer."""

    title, consumer, saves = "Forge", "forge", ()

    def prepare(self) -> None:
        name = "backend.text_processing.textual_inversion"
        self.code = self.shelf(name).get(name)
        self.old_torch()
        self.tokenizer = clip_tokenizer()

    def database(self, family: str) -> Any:
        width = WIDTHS[family]["clip_l"] if family == "flux" else sum(WIDTHS[family].values())
        return self.code.EmbeddingDatabase(self.tokenizer, width)


class ComfyUI(Program):
    """load_embed, for the key of every encoder."""

    title, consumer = "ComfyUI", "comfyui"
    keys: Mapping[str, str] = {"t5": "t5xxl"}

    def prepare(self) -> None:
        file = self.folder / "comfy" / "sd1_clip.py"
        # The functions call each other.
        space: dict[str, Any] = {
            "os": os, "torch": torch, "zipfile": zipfile, "logging": MagicMock(),
            "traceback": MagicMock(),
        }  # fmt: skip
        for name in ("safe_load_embed_zip", "expand_directory_list", "bundled_embed", "load_embed"):
            space[name] = cut(file, name, space)
        self.load = space["load_embed"]

    def takes(self, family: str) -> list[Target]:
        old = layouts("a1111-pt", "diffusers") if family in CLIPS else []
        # It guesses the width of a pickle that torch refuses, and takes three of 1024 for 768.
        old += layouts("original-pt") if family == "sd1" else []
        bundled = layouts("bundle") if family in (*SDXL, "sd3", "flux") else []
        return [Target(self.consumer), *old, *bundled]

    def read(self, place: Path, family: str) -> Rows:
        found = {}
        for encoder, width in WIDTHS[family].items():
            key = self.keys.get(encoder, encoder)
            vectors = self.load(place.stem, [str(place.parent)], width, key)
            if vectors is None or vectors.shape[-1] != width:
                raise ValueError(f"no vectors for {key}")
            found[encoder] = vectors
        return found


class InvokeAI(Program):
    """The configs that tell a model's base, and TextualInversionModelRaw.from_checkpoint.

    The scan for hostile pickles is a stub that finds none.
    """

    title, consumer = "InvokeAI", "invokeai"
    configs: Mapping[str, str] = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"}

    def prepare(self) -> None:
        manager = "invokeai.backend.model_manager"
        shelf = self.shelf(
            f"{manager}.configs.textual_inversion", f"{manager}.configs.identification_utils",
            f"{manager}.model_on_disk", f"{manager}.taxonomy", "invokeai.backend.raw_model",
            "invokeai.backend.textual_inversion", "invokeai.backend.util.silence_warnings",
            "invokeai.backend.util.calc_tensor_size",
            "invokeai.backend.patches.lora_conversions.peft_adapter_utils",
            absent=("pydantic", "pydantic_core", "gguf", "picklescan", "onnxruntime", "compel"),
        )  # fmt: skip
        pydantic = shelf.get("pydantic")
        pydantic.BaseModel = _Fields
        pydantic.Field = lambda default: SimpleNamespace(default=default)
        scan = shelf.get("picklescan.scanner").scan_file_path
        scan.return_value = SimpleNamespace(infected_files=0, scan_err=False)
        self.known = shelf.get(f"{manager}.configs.textual_inversion")
        self.disk = shelf.get(f"{manager}.model_on_disk").ModelOnDisk
        self.raw = shelf.get("invokeai.backend.textual_inversion").TextualInversionModelRaw

    def takes(self, family: str) -> list[Target]:
        return [Target(self.consumer), *(layouts("a1111-pt") if family in CLIPS else [])]

    def read(self, place: Path, family: str) -> Rows:
        config = getattr(self.known, f"TI_File_{self.configs[family]}_Config")
        config.from_model_on_disk(self.disk(place), {})
        model = self.raw.from_checkpoint(place)
        first, second = model.embedding, model.embedding_2
        return by_width(family, [first] if second is None else [first, second])


class _Fields:
    """As much of pydantic's BaseModel as these configs use: the fields of a class by name."""

    model_fields: Mapping[str, Any] = {}

    def __init_subclass__(cls) -> None:
        own = {k: v for k, v in vars(cls).items() if isinstance(v, SimpleNamespace)}
        cls.model_fields = {**cls.model_fields, **own}


class SdNext(Program):
    """EmbeddingDatabase.load_diffusers_embedding on a pipeline."""

    title, consumer = "SD.Next", "sdnext"

    def prepare(self) -> None:
        shelf = self.shelf("modules.textual_inversion")
        self.shared = shelf.get("modules.shared")
        self.shared.sd_loaded = True
        self.shared.opts = SimpleNamespace(
            diffusers_enable_embed=True, diffusers_convert_embed=False, embeddings_dir="/"
        )
        shelf.get("modules.devices").device = torch.device("cpu")
        self.code = shelf.get("modules.textual_inversion")

    def takes(self, family: str) -> list[Target]:
        more = layouts("a1111-pt", "diffusers") if family in CLIPS else []
        return [Target(self.consumer), *more]

    def read(self, place: Path, family: str) -> Rows:
        models = parts(WIDTHS[family])
        self.shared.sd_model = pipe_of(models)
        database = self.code.EmbeddingDatabase()
        database.load_diffusers_embedding([str(place)])
        if database.skipped_embeddings or place.stem not in database.word_embeddings:
            raise ValueError("skipped")
        return held(models, numbered(place.stem))


class EasyDiffusion(Program):
    """The functions of sdkit, which Easy Diffusion is made with."""

    title, consumer = "Easy Diffusion (sdkit)", "easydiffusion"

    def prepare(self) -> None:
        name = "sdkit.models.model_loader.embeddings"
        shelf = self.shelf(name, "sdkit.utils.file_utils")
        load = shelf.get("sdkit.utils.file_utils").load_tensor_file
        shelf.get("sdkit.utils").load_tensor_file = load
        shelf.get("sdkit.utils").log = MagicMock()
        shelf.get("sdkit").Context = MagicMock()
        self.code = shelf.get(name)

    def read(self, place: Path, family: str) -> Rows:
        models = parts(WIDTHS[family])
        files = self.code.get_embeddings_to_load(pipe_of(models), [str(place)], family.upper())
        self.code.load_embeddings(*files, list(models.values()))
        return held(models, numbered(files[1][0]))


class Compel(Diffusers):
    """The manager for diffusers' pipelines, which expands the word to all its vectors."""

    title, consumer, saves = "compel", "", ()

    def prepare(self) -> None:
        names = ("embeddings_provider", "diffusers_textual_inversion_manager")
        self.opened = self.shelf(*(f"compel.{name}" for name in names))

    def takes(self, family: str) -> list[Target]:
        return [Target("diffusers")] if family in CLIPS else []

    def read(self, place: Path, family: str) -> Rows:
        pipe, models = self.loaded(place, family)
        ((encoder, (tokenizer, model)),) = models.items()
        name = "compel.diffusers_textual_inversion_manager"
        manager = self.opened.get(name).DiffusersTextualInversionManager(pipe)
        ids = tokenizer.encode(WORD, add_special_tokens=False)
        expanded = manager.expand_textual_inversion_token_ids_if_necessary(ids)
        return {encoder: model.get_input_embeddings().weight.data[expanded]}


# By the name of the folder with the checkout or the unpacked package.
PROGRAMS: Mapping[str, type[Program]] = {
    "stable-diffusion-webui": Automatic1111,
    "stable-diffusion-webui-forge": Forge,
    "ComfyUI": ComfyUI,
    "diffusers": Diffusers,
    "OneTrainer": OneTrainer,
    "sd-scripts": Kohya,
    "InvokeAI": InvokeAI,
    "sdnext": SdNext,
    "sdkit": EasyDiffusion,
    "textual_inversion": Original,
    "invoke-training": InvokeTraining,
    "ai-toolkit": AiToolkit,
    "compel": Compel,
    "HCP-Diffusion": HcpDiffusion,
}
