"""The other programs, each as far as it loads and saves learned words: for `peers.py`.

A program's `read` gives the vectors that its own code holds after loading a file, by encoder; its
`write` has its own code save vectors, and gives the files. Nothing here is a copy of their code.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import safetensors.torch
import torch
from learned_words import FAMILIES, OTHERS
from peers_code import (
    Rows,
    Shelf,
    clip_tokenizer,
    cut,
    cut_block,
    held,
    parts,
    pipe_of,
    with_rows,
)
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ticli.library import Target

WIDTHS: Mapping[str, Mapping[str, int]] = {**FAMILIES, **OTHERS}
WORD = "<mug>"
COUNT = 3
CLIPS, SDXL = ("sd1", "sd2"), ("sd1", "sd2", "sdxl")
OLD_TORCH = "torch.load of torch 1, which reads any pickle"


def layouts(*names: str) -> list[Target]:
    """Layouts to try, as targets of an export."""
    return [Target(format=name) for name in names]


class Program:
    """A peer. `title` is how people call it, `consumer` what `ti export --for` calls it.

    `takes` are the exports it reads of a family, none if it has no such models; `saves` are the
    families that it writes files for.
    """

    title = consumer = ""
    saves: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stubs: set[str] = set()
        self.prepare()

    def prepare(self) -> None:
        """Import or cut out what is needed of the program."""

    def takes(self, family: str) -> list[Target]:
        """The exports to try with a family."""
        return [Target(self.consumer)] if self.consumer else []

    def read(self, place: Path, family: str) -> Rows:
        """Load an exported file or folder."""
        raise NotImplementedError

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        """Save vectors, in every way that the program has."""
        raise NotImplementedError

    def shelf(self, *real: str, absent: tuple[str, ...] = (), under: str = "") -> Shelf:
        """Open the checkout for imports."""
        shelf = Shelf(self.folder / under, real, absent)
        self.stubs = shelf.stubs
        return shelf

    def old_torch(self) -> None:
        """Load pickles as the torch that the program was made for does."""
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
        self.stubs.add(OLD_TORCH)


def by_width(family: str, tensors: list[torch.Tensor]) -> Rows:
    """Tensors by the encoder that has their width."""
    names = {width: encoder for encoder, width in WIDTHS[family].items()}
    return {names[tensor.shape[-1]]: tensor for tensor in tensors}


def numbered(word: str, mark: str = "_", first: int = 1) -> list[str]:
    """The words of a concept of several vectors: mug, mug_1, mug_2."""
    return [word, *(f"{word}{mark}{i}" for i in range(first, first + COUNT - 1))]


def added(tokenizer: Any) -> list[int]:
    """Add the words of the concept to a tokenizer; their ids."""
    tokenizer.add_tokens(numbered(WORD))
    ids: list[int] = tokenizer.convert_tokens_to_ids(numbered(WORD))
    return ids


ACCELERATOR = SimpleNamespace(unwrap_model=lambda model: model)


class Diffusers(Program):
    """The installed loader, and the savers of the examples."""

    title = consumer = "diffusers"
    saves = ("sd1", "sd2", "sdxl", "flux")

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

    title, consumer, saves = "AUTOMATIC1111", "a1111", CLIPS
    pictures = True

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
    """The configs that tell a model's base, and TextualInversionModelRaw.from_checkpoint."""

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


class Kohya(Program):
    """gen_img.py's block for textual inversions; the loaders and savers of both trainers."""

    title, consumer, saves = "kohya's scripts", "kohya", SDXL

    def trainer(self, family: str, function: str) -> Callable[..., Any]:
        """One method of the trainer of a family."""
        names = {"os": os, "torch": torch}
        if family == "sdxl":
            path = f"SdxlTextualInversionTrainer.{function}"
            method = cut(self.folder / "sdxl_train_textual_inversion.py", path, names)
        else:
            path = f"TextualInversionTrainer.{function}"
            method = cut(self.folder / "train_textual_inversion.py", path, names)
        return lambda *given: method(None, *given)

    def takes(self, family: str) -> list[Target]:
        return [Target(self.consumer), *(layouts("a1111-pt") if family in CLIPS else [])]

    def read(self, place: Path, family: str) -> Rows:
        models = parts(WIDTHS[family])
        cut_block(
            self.folder / "gen_img.py",
            "args.textual_inversion_embeddings",
            {
                "args": SimpleNamespace(textual_inversion_embeddings=[str(place)]),
                "model_util": SimpleNamespace(is_safetensors=lambda p: p.endswith(".safetensors")),
                "is_sdxl": family == "sdxl", "os": os, "torch": torch, "pipe": MagicMock(),
                "logger": MagicMock(),
                "tokenizers": [tokenizer for tokenizer, _ in models.values()],
                "text_encoders": [model for _, model in models.values()],
            },
        )  # fmt: skip
        words = [place.stem, *(f"{place.stem}{i}" for i in range(1, COUNT))]
        found = held(models, words)
        again = self.trainer(family, "load_weights")(str(place))
        for encoder, tensor in by_width(family, again).items():
            if not torch.equal(tensor, found[encoder]):
                raise ValueError("the trainer loads other vectors than gen_img.py")
        return found

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        save = self.trainer(family, "save_weights")
        said = {"modelspec.architecture": "stable-diffusion-v1/textual-inversion"}
        places = [folder / "mug.safetensors", folder / "mug.pt"]
        for place in places:
            save(str(place), list(rows.values()), torch.float32, said)
        return places


class OneTrainer(Program):
    """The loader, the setup that takes vectors by their keys, and the saver of every model."""

    title, consumer = "OneTrainer", "onetrainer"
    models: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
        "sd1": ("StableDiffusion", "stableDiffusion", ("clip_l",)),
        "sd2": ("StableDiffusion", "stableDiffusion", ("clip_h",)),
        "sdxl": ("StableDiffusionXL", "stableDiffusionXL", ("clip_l", "clip_g")),
        "sd3": ("StableDiffusion3", "stableDiffusion3", ("clip_l", "clip_g", "t5")),
        "flux": ("Flux", "flux", ("clip_l", "t5")),
        "pixart": ("PixArtAlpha", "pixartAlpha", ("t5",)),
        "sana": ("Sana", "sana", ("gemma",)),
        "hidream": ("HiDream", "hiDream", ("clip_l", "clip_g", "t5", "llama")),
        "hunyuanvideo": ("HunyuanVideo", "hunyuanVideo", ("llama", "clip_l")),
        "cascade": ("Wuerstchen", "wuerstchen", ("clip_g",)),
    }
    saves = tuple(models)

    def prepare(self) -> None:
        names = {(name, folder) for name, folder, _ in self.models.values()}
        self.opened = self.shelf(
            "modules.modelLoader.mixin.EmbeddingLoaderMixin", "modules.util.ModelNames",
            "modules.modelSaver.mixin.EmbeddingSaverMixin", "modules.model.BaseModel",
            "modules.util.enum.ModelFormat", "modules.util.path_util",
            *(f"modules.model.{name}Model" for name, _ in names),
            *(f"modules.modelSetup.Base{name}Setup" for name, _ in names),
            *(f"modules.modelLoader.{folder}.{name}EmbeddingLoader" for name, folder in names),
            *(f"modules.modelSaver.{self.of_saver(folder)}.{name}EmbeddingSaver"
              for name, folder in names),
            absent=("torchvision",),
        )  # fmt: skip

    def of_saver(self, folder: str) -> str:
        """The folder of a model's saver, which one model spells in another way."""
        return folder.lower() if folder == "hiDream" else folder

    def part(self, module: str, name: str) -> Any:
        """One class of the program."""
        return getattr(self.opened.get(f"modules.{module}"), name)

    def vectors(self, embedding: Any, family: str) -> Rows:
        """What an embedding of the program holds; its parts are numbered if there are several."""
        held_by = [
            part.vector for name, part in vars(embedding).items() if name.endswith("embedding")
        ]
        return dict(zip(self.models[family][2], held_by, strict=True))

    def read(self, place: Path, family: str) -> Rows:
        name, folder, _ = self.models[family]
        loader = self.part(f"modelLoader.{folder}.{name}EmbeddingLoader", f"{name}EmbeddingLoader")
        setup = self.part(f"modelSetup.Base{name}Setup", f"Base{name}Setup")
        names = self.opened.get("modules.util.ModelNames")
        wanted = names.EmbeddingName("id", str(place))
        model = MagicMock(embedding_state_dicts={})
        loader().load(model, str(place.parent), names.ModelNames(embedding=wanted))
        for part in ("text_encoder", *(f"text_encoder_{i}" for i in range(1, 5))):
            getattr(model, part).get_input_embeddings().weight.dtype = torch.float32
        model.prior_text_encoder.get_input_embeddings().weight.dtype = torch.float32
        config = MagicMock()
        config.all_embedding_configs.return_value = [config.embedding]
        config.embedding.uuid, config.embedding.is_output_embedding = "id", False
        setup._setup_embeddings(
            MagicMock(train_device=torch.device("cpu"), temp_device=torch.device("cpu")),
            model, config,
        )  # fmt: skip
        return self.vectors(model.embedding, family)

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        name, home, order = self.models[family]
        embedding = self.part(f"model.{name}Model", f"{name}ModelEmbedding")(
            "id", *(rows[encoder] for encoder in order), WORD, False
        )
        saver = self.part(
            f"modelSaver.{self.of_saver(home)}.{name}EmbeddingSaver", f"{name}EmbeddingSaver"
        )
        model = SimpleNamespace(embedding=embedding, embedding_state_dicts={"id": None})
        kind = self.part("util.enum.ModelFormat", "ModelFormat").SAFETENSORS
        saver().save_single(model, kind, str(folder / "mug.safetensors"), torch.float32)
        return [folder / "mug.safetensors"]


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


class Original(Program):
    """EmbeddingManager of the paper's repository."""

    title, saves = "textual_inversion (original)", ("sd1",)

    def prepare(self) -> None:
        name = "ldm.modules.embedding_manager"
        self.code = self.shelf(name).get(name)
        self.old_torch()

    def takes(self, family: str) -> list[Target]:
        return layouts("original-pt") if family == "sd1" else []

    def manager(self) -> Any:
        """Return a manager of one placeholder, as the program makes it for CLIP."""
        embedder = MagicMock(tokenizer=clip_tokenizer())
        return self.code.EmbeddingManager(embedder, ["*"], num_vectors_per_token=COUNT)

    def read(self, place: Path, family: str) -> Rows:
        manager = self.manager()
        manager.load(str(place))
        ids = torch.tensor([[49406, 320, 265, 49407, 49407, 49407, 49407]])
        embedded = manager(ids, torch.zeros(1, 7, 768))
        return {"clip_l": embedded[0, 2 : 2 + COUNT].detach()}

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        manager = self.manager()
        manager.string_to_param_dict["*"] = torch.nn.Parameter(rows["clip_l"])
        manager.save(str(folder / "embeddings_gs-500.pt"))
        return [folder / "embeddings_gs-500.pt"]


class InvokeTraining(Program):
    """The start from a file, and the savers of both pipelines."""

    title, saves = "invoke-training", SDXL

    def prepare(self) -> None:
        shared = "invoke_training._shared"
        words = f"{shared}.stable_diffusion.textual_inversion"
        files = f"{shared}.checkpoints.serialization"
        shelf = self.shelf(words, files, absent=("accelerate",), under="src")
        self.words, self.files = shelf.get(words), shelf.get(files)

    def takes(self, family: str) -> list[Target]:
        return layouts("diffusers") if family in CLIPS else []

    def read(self, place: Path, family: str) -> Rows:
        models = parts(WIDTHS[family])
        ((tokenizer, model),) = models.values()
        self.words.initialize_placeholder_tokens_from_initial_embedding(
            tokenizer, model, str(place), WORD, COUNT
        )
        return held(models, numbered(WORD))

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        pipelines = self.folder / "src" / "invoke_training" / "pipelines"
        kind = "stable_diffusion_xl" if family == "sdxl" else "stable_diffusion"
        save = cut(
            pipelines / kind / "textual_inversion" / "train.py",
            "_save_ti_embeddings",
            {"torch": torch, "save_state_dict": self.files.save_state_dict},
        )
        place = folder / "textual_inversion-epoch_00000001-step_00000500.safetensors"
        tracker = MagicMock()
        tracker.prune.return_value, tracker.get_path.return_value = 0, place
        models = with_rows(rows, added).values()
        encoders = [model for _, model, _ in models]
        save(1, 500, *encoders, *(ids for *_, ids in models), ACCELERATOR, None, tracker, None)
        return [place]


class AiToolkit(Program):
    """toolkit/embedding.py, both ways."""

    title, saves = "ai-toolkit", SDXL

    def prepare(self) -> None:
        shelf = self.shelf("toolkit.embedding", "toolkit.metadata", absent=("info",))
        shelf.get("info").software_meta = {"name": "ai-toolkit"}
        self.stubs.add("the tokenizer's encode of transformers 4, which takes words for tokens")
        self.code = shelf.get("toolkit.embedding")

    def takes(self, family: str) -> list[Target]:
        names = {"sd1": ("emb_params", "a1111-pt"), "sd2": ("emb_params",), "sdxl": ("sdxl",)}
        return layouts(*names.get(family, ()))

    def word(self, family: str) -> Any:
        """Return an embedding of the program in a new model."""
        models = list(parts(WIDTHS[family]).values())
        for tokenizer, _ in models:
            tokenizer.encode = partial(_encoded, tokenizer, tokenizer.encode)
        model = SimpleNamespace(
            tokenizer=[tokenizer for tokenizer, _ in models],
            text_encoder=[encoder for _, encoder in models],
            is_xl=family == "sdxl",
        )
        config = SimpleNamespace(trigger=WORD, tokens=COUNT, init_words="a red cup")
        return self.code.Embedding(model, config)

    def read(self, place: Path, family: str) -> Rows:
        word = self.word(family)
        word.load_embedding_from_file(str(place), "cpu")
        return by_width(family, [word.vec, word.vec2] if family == "sdxl" else [word.vec])

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        word = self.word(family)
        for number, tensor in enumerate(rows.values()):
            word._set_vec(tensor, number)
        names = ["mug.safetensors"] if family == "sdxl" else ["mug.safetensors", "mug.pt"]
        for name in names:
            word.save(str(folder / name))
        return [folder / name for name in names]


def _encoded(tokenizer: Any, encode: Callable[..., list[int]], text: Any, **given: Any) -> Any:
    """Encode a text, or look up the words of a list."""
    listed = isinstance(text, list)
    return tokenizer.convert_tokens_to_ids(text) if listed else encode(text, **given)


class Compel(Diffusers):
    """The manager for diffusers' pipelines, which expands the word to all its vectors."""

    title, saves = "compel", ()

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


class HcpDiffusion(Program):
    """load_emb and save_emb; SDXL has both encoders' vectors side by side."""

    title, saves = "HCP-Diffusion", SDXL

    def part(self, name: str) -> Any:
        """One function of the program."""
        return cut(
            self.folder / "hcpdiff" / "utils" / "net_utils.py", name, {"os": os, "torch": torch}
        )

    def takes(self, family: str) -> list[Target]:
        return layouts("a1111-pt") if family in CLIPS else []

    def read(self, place: Path, family: str) -> Rows:
        return by_width(family, [self.part("load_emb")(str(place))])

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        self.part("save_emb")(str(folder / "mug-500.pt"), torch.cat(list(rows.values()), dim=-1))
        return [folder / "mug-500.pt"]


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


def installed(package: str) -> str:
    """The version of an installed package."""
    return f"{package} {importlib.metadata.version(package)}"
