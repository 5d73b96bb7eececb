"""The programs that learn words, each as far as it loads and saves them: for `peers.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
from peers_code import Rows, clip_tokenizer, cut, cut_block, held, parts, with_rows
from peers_common import (
    ACCELERATOR,
    CLIPS,
    COUNT,
    SDXL,
    WIDTHS,
    WORD,
    Program,
    added,
    by_width,
    layouts,
    numbered,
)

from ticli.library import Target


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
        found = held(models, numbered(place.stem, ""))
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
        from diffusers.utils.import_utils import is_torchvision_available
        from transformers.utils import is_torchvision_available as is_available

        # Both libraries remember their answers, and are not to find the stub.
        is_torchvision_available()
        is_available()
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
