"""Every layout of the field is read as the word it holds, whatever the file is called."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from ticli.errors import BadContent
from ticli.library import Contents, Widths, in_memory, read_embedding, read_words

XTI = "IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11"


def rows(width: int = 768, vectors: int = 2, start: float = 0.01) -> torch.Tensor:
    return torch.linspace(start, 0.03, vectors * width).reshape(vectors, width)


def saved(content: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def read(data: bytes, **widths: Any) -> Contents:
    return read_words(in_memory(data, "file"), Widths(**widths))


def safe(**tensors: torch.Tensor) -> bytes:
    return save({key: tensor.clone() for key, tensor in tensors.items()})


A1111 = {
    "string_to_token": {"*": 265},
    "string_to_param": {"*": rows()},
    "name": "mug",
    "step": 500,
    "sd_checkpoint": "4c86efd062",
    "sd_checkpoint_name": "v1-5-pruned",
}
ORIGINAL = {
    "string_to_token": {"*": torch.tensor(265)},
    "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(rows())}),
}
SEVERAL = {
    "string_to_token": {"cat": torch.tensor(1), "dog": torch.tensor(2)},
    "string_to_param": torch.nn.ParameterDict(
        {"cat": torch.nn.Parameter(rows()), "dog": torch.nn.Parameter(rows(start=0.02))}
    ),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("content", "layout", "names"),
    [
        ({"<mug>": rows()}, "diffusers", ["<mug>"]),
        ({"<mug>": rows()[0]}, "diffusers", ["<mug>"]),
        ({"<a>": rows(), "<b>": rows(start=0.02)}, "diffusers", ["<a>", "<b>"]),
        (A1111, "a1111", ["mug"]),
        (ORIGINAL, "original", [""]),
        (SEVERAL, "original", ["cat", "dog"]),
        ({"emb_params": rows()}, "emb_params", [""]),
        ({"clip_l": rows(), "clip_g": rows(1280)}, "clip_g+clip_l", [""]),
        (rows(), "bare tensor", [""]),
    ],
    ids=["2-D", "1-D", "two tokens", "a1111", "original", "placeholders", "kohya", "sdxl", "bare"],
)
def test_torch_files_are_read_without_torch(content, layout, names, zipped: bool) -> None:
    found = read(saved(content, _use_new_zipfile_serialization=zipped))
    assert found.container == ("torch zip" if zipped else "torch legacy")
    assert found.layout == layout
    assert [word.token or word.key for word in found.words] == names
    first = content if isinstance(content, torch.Tensor) else next(iter(content.values()))
    if layout in ("a1111", "original"):
        first = next(iter(content["string_to_param"].values()))
    wanted = first.detach().reshape(-1, first.shape[-1]).numpy()
    np.testing.assert_array_equal(found.words[0].embedding.rows["clip_l"], wanted)


def test_a1111_tells_steps_and_checkpoint() -> None:
    (word,) = read(saved(A1111)).words
    assert word.steps == 500
    assert (word.base.id, word.base.revision) == ("v1-5-pruned", "4c86efd062")
    (plain,) = read(saved({**A1111, "step": None, "sd_checkpoint": None,
                           "sd_checkpoint_name": None})).words  # fmt: skip
    assert (plain.steps, plain.base.id, plain.base.revision) == (0, "", "")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_numbers_become_float32(dtype: torch.dtype, zipped: bool) -> None:
    tensor = rows().to(dtype)
    found = read(saved({"<mug>": tensor}, _use_new_zipfile_serialization=zipped))
    got = found.words[0].embedding.rows["clip_l"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, tensor.float().numpy())


def test_a_row_of_a_whole_table_is_read_alone() -> None:
    """torch.save of a slice writes the table; that is a real mistake of real files."""
    table = torch.randn(300, 768)
    data = saved({"<mug>": table[299:300]})
    assert len(data) > 300 * 768 * 4
    np.testing.assert_array_equal(
        read(data).words[0].embedding.rows["clip_l"], table[299:300].numpy()
    )


@pytest.mark.parametrize(
    ("tensors", "widths", "family"),
    [
        ({"clip_l": 768, "clip_g": 1280}, {"clip_l": 768, "clip_g": 1280}, "sdxl"),
        ({"text_encoders_0": 768, "text_encoders_1": 1280}, {"clip_l": 768, "clip_g": 1280},
         "sdxl"),
        ({"clip_l": 768, "clip_g": 1280, "t5xxl": 4096},
         {"clip_l": 768, "clip_g": 1280, "t5": 4096}, "sd3"),
        ({"clip_l": 768, "t5": 4096}, {"clip_l": 768, "t5": 4096}, "flux"),
        ({"t5": 4096}, {"t5": 4096}, ""),
        ({"clip_l": 768}, {"clip_l": 768}, ""),
        ({"clip_g": 1280}, {"clip_g": 1280}, ""),
        ({"gemma": 2304}, {"gemma": 2304}, "sana"),
        ({"clip_l": 768, "llama": 4096}, {"clip_l": 768, "llama": 4096}, ""),
        ({"emb_params": 1024}, {"clip_h": 1024}, "sd2"),
        ({"emp_params": 768}, {"clip_l": 768}, "sd1"),
    ],
)  # fmt: skip
def test_the_width_says_the_encoder_then_the_key(tensors, widths, family: str) -> None:
    (word,) = read(safe(**{key: rows(width) for key, width in tensors.items()})).words
    assert word.embedding.widths == widths
    assert word.base.family == family


def test_the_width_is_believed_before_the_key() -> None:
    (word,) = read(safe(clip_g=rows(768))).words
    assert word.embedding.widths == {"clip_l": 768}
    with pytest.raises(BadContent, match="two tensors for the encoder clip_l"):
        read(safe(clip_g=rows(768), clip_l=rows(768, start=0.02)))


def test_one_encoder_under_two_keys_is_one() -> None:
    (word,) = read(safe(clip_l=rows(), t5=rows(4096), t5xxl=rows(4096))).words
    assert word.embedding.widths == {"clip_l": 768, "t5": 4096}
    assert word.warnings == ()
    with pytest.raises(BadContent, match="two tensors for the encoder clip_l"):
        read(safe(clip_l=rows(), text_encoders_0=rows(start=0.02)))


def test_of_two_names_of_t5_the_one_that_onetrainer_learns_counts() -> None:
    (word,) = read(safe(t5=rows(4096), t5xxl=rows(4096, start=0.02))).words
    np.testing.assert_array_equal(word.embedding.rows["t5"], rows(4096).numpy())
    assert "'t5' and 't5xxl' differ, and 't5' is taken" in word.warnings[0]


def test_odd_widths_are_taken_from_those_who_know_them() -> None:
    data = safe(clip_l=rows(32), t5=rows(48))
    with pytest.raises(BadContent, match="vectors of 32 numbers"):
        read(data)
    (word,) = read(data, said={"clip_l": 32, "t5": 48}).words
    assert word.embedding.widths == {"clip_l": 32, "t5": 48}
    (word,) = read(data, usable=lambda: {32, 48}).words
    assert word.embedding.widths == {"clip_l": 32, "t5": 48}
    (word,) = read(safe(**{"<mug>": rows(48)}), said={"clip_l": 32, "t5": 48}).words
    assert word.embedding.widths == {"t5": 48}


def test_usable_widths_are_asked_for_only_where_nothing_else_knows() -> None:
    def ask() -> set[int]:
        pytest.fail("asked")

    read(safe(**{"<mug>": rows()}), usable=ask)


def test_vectors_behind_the_encoder_are_named_and_left_out() -> None:
    found = read(safe(clip_l=rows(), clip_l_out=rows(), t5=rows(4096), t5_out=rows(4096)))
    assert found.words[0].embedding.widths == {"clip_l": 768, "t5": 4096}
    assert len(found.notes) == 2
    assert "'clip_l_out' is left out" in found.notes[0]
    assert "'emp_params_out'" in read(safe(emp_params=rows(), emp_params_out=rows())).notes[0]


def test_words_of_a_lora_are_read_and_the_lora_is_not() -> None:
    found = read(
        save(
            {
                "bundle_emb.mug.emb_params": rows(),
                "bundle_emb.cat.clip_l": rows(),
                "bundle_emb.cat.clip_g": rows(1280),
                "bundle_emb.dog.string_to_param.*": rows(),
                "lora_unet_down.lora_down.weight": torch.zeros(4, 4, dtype=torch.int8),
            }
        )
    )
    assert found.layout == "bundle"
    words = {word.token: word.embedding.widths for word in found.words}
    assert words == {
        "mug": {"clip_l": 768},
        "dog": {"clip_l": 768},
        "cat": {"clip_l": 768, "clip_g": 1280},
    }
    assert found.notes == ("file: 1 tensors of a LoRA are left out",)


def test_ai_toolkit_puts_the_name_into_the_metadata() -> None:
    data = save({"emb_params": rows()}, {"name": '"neg"', "step": "250", "sd_checkpoint": "null"})
    (word,) = read(data).words
    assert (word.token, word.steps) == ("neg", 250)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({key: rows() for key in XTI.split()}, "per-layer"),
        ({"lora_unet_down.lora_down.weight": rows()}, "a LoRA"),
        ({"unet.down.lora_A.weight": rows()}, "a LoRA"),
        ({"model.diffusion_model.out.weight": rows()}, "a full model"),
        ({"text_model.embeddings.token_embedding.weight": rows()}, "a full model"),
        ({"state_dict": {"first_stage_model.x": rows()}}, "a full model"),
        ({320: (rows(), rows()), 768: (rows(), rows()), "name": "h"}, "a hypernetwork"),
        ({"hash": "ab12", "optimizer_state_dict": {"state": {0: {"exp_avg": rows()}}}},
         "an optimiser"),
    ],
)  # fmt: skip
def test_other_kinds_are_refused_by_name(content, kind: str) -> None:
    with pytest.raises(BadContent, match=kind):
        read(saved(content))


def test_a_zip_with_our_manifest_is_read_member_by_member() -> None:
    stream = io.BytesIO()
    manifest = {"ti": 1, "concepts": [
        {"name": "mug", "file": "mug.safetensors"},
        {"name": "pair", "file": "l.safetensors", "files": ["l.safetensors", "g.safetensors",
                                                            "notes.txt"]},
    ]}  # fmt: skip
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("mug.safetensors", safe(emb_params=rows()))
        archive.writestr("l.safetensors", save({"<pair>": rows()}))
        archive.writestr("g.safetensors", save({"<pair>": rows(1280)}))
        archive.writestr("notes.txt", "hello")
    found = read(stream.getvalue())
    assert (found.container, found.layout) == ("zip", "zip")
    assert [(word.stem, word.embedding.widths) for word in found.words] == [
        ("mug", {"clip_l": 768}),
        ("pair", {"clip_g": 1280, "clip_l": 768}),
    ]
    assert found.words[1].base.family == "sdxl"


def test_a_claimed_hash_is_compared() -> None:
    import hashlib

    buffer = rows().numpy().tobytes()
    digest = hashlib.sha256(buffer).hexdigest()
    read(save({"<mug>": rows()}, {"modelspec.hash_sha256": f"0x{digest.upper()}"}))
    with pytest.raises(BadContent, match="SHA-256"):
        read(save({"<mug>": rows()}, {"modelspec.hash_sha256": "0x" + "0" * 64}))


def test_a_word_in_a_large_lora_is_read_without_the_rest(tmp_path: Path) -> None:
    """Only the header and the word's own bytes of a file beyond what is read whole."""
    from ticli.library import LARGEST_FILE, open_file

    size = LARGEST_FILE * 3
    header = json.dumps({
        "lora_unet.x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]},
        "bundle_emb.mug.emb_params": {"dtype": "F32", "shape": [1, 768],
                                      "data_offsets": [size, size + 3072]},
    }).encode()  # fmt: skip
    path = tmp_path / "lora.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.seek(8 + len(header) + size)
        file.write(rows(vectors=1).numpy().tobytes())
    with open_file(path) as opened:
        (word,) = read_words(opened).words
    np.testing.assert_array_equal(word.embedding.rows["clip_l"], rows(vectors=1).numpy())


def test_reading_loads_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from ticli.library.formats.embedding import read_embedding; "
        "read_embedding(sys.stdin.buffer.read(), 'x'); "
        "print([m for m in ('torch', 'pickle', 'safetensors', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=saved(A1111), capture_output=True, timeout=60
    )
    # numpy loads pickle itself; nothing here calls it.
    assert done.stdout.strip() in (b"[]", b"['pickle']"), done.stderr


def test_one_word_is_wanted_where_one_is_asked_for() -> None:
    with pytest.raises(BadContent, match="holds 2 concepts"):
        read_embedding(saved(SEVERAL), "x")
