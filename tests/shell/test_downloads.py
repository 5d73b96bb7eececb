"""Models from a hub: what is said, what is fetched, and what each refusal means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from local_hub import REVISION, Hub, serve
from tiny import build_tiny_model

from ticli.terminal import byte_text

NAME = "somebody/tiny"
INDEX = "model_index.json"


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A repository as they are published: with a card, pickles and other variants beside."""
    folder = build_tiny_model(tmp_path_factory.mktemp("repository"))
    (folder / "README.md").write_text("---\nlicense: openrail++\n---\n")
    for junk in ("unet/diffusion_pytorch_model.bin", "v1-5.ckpt", "sample.png",
                 "unet/diffusion_pytorch_model.fp16.safetensors"):  # fmt: skip
        (folder / junk).write_bytes(b"x" * 1000)
    return folder


def ti(hub: Hub, tmp_path: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess:
    """Run `ti` in a process that may reach the hub on this machine and no other."""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
    } | extra
    return subprocess.run(
        [sys.executable, "-m", "ticli", *arguments],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def announcement(result: subprocess.CompletedProcess) -> str:
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("downloading")]
    return line


def said_of(hub: Hub, tmp_path: Path) -> str:
    """What must be said: the number and size of the files that came after the index."""
    asked = {path.partition(f"/resolve/{REVISION}/")[2] for path in hub.asked} - {"", INDEX}
    size = byte_text(sum((hub.folder / name).stat().st_size for name in asked))
    return f"downloading {NAME}: {len(asked)} files, {size}, into {tmp_path / 'hf' / 'hub'}"


def test_a_model_is_announced_and_fetched_once(repository, tmp_path):
    with serve(Hub(NAME, repository)) as hub:
        first = ti(hub, tmp_path, "models", "fetch", NAME, "--json")
        assert first.returncode == 0, first.stderr
        assert announcement(first) == said_of(hub, tmp_path)
        shown = json.loads(first.stdout)
        assert (shown["id"], shown["revision"], shown["license"]) == (NAME, REVISION, "openrail++")
        fetched = {path.rsplit("/", 1)[1] for path in hub.asked if "/resolve/" in path}
        assert {"model_index.json", "vocab.json", "config.json", "model.safetensors"} <= fetched
        assert not any(name.endswith((".bin", ".ckpt", ".png")) for name in fetched)
        assert "diffusion_pytorch_model.fp16.safetensors" not in fetched
        hub.asked.clear()
        again = ti(hub, tmp_path, "generate", "a cup", "-m", NAME, "--dry-run", "--json")
        assert again.returncode == 0, again.stderr
        assert hub.asked == [] and "downloading" not in again.stderr
        listed = ti(hub, tmp_path, "models", "--json")
        assert NAME in [item["id"] for item in json.loads(listed.stdout)]
        assert hub.asked == []


def test_quiet_still_says_what_is_downloaded(repository, tmp_path):
    """It may be gigabytes."""
    with serve(Hub(NAME, repository)) as hub:
        result = ti(hub, tmp_path, "models", "fetch", NAME, "-q")
        assert result.returncode == 0, result.stderr
        assert result.stderr.splitlines() == [said_of(hub, tmp_path)]
        assert len(result.stdout.splitlines()) == 1


@pytest.mark.slow
def test_generate_fetches_what_it_needs(repository, tmp_path):
    with serve(Hub(NAME, repository)) as hub:
        dry = ti(hub, tmp_path, "generate", "a cup", "-m", NAME, "--dry-run")
        assert dry.returncode == 5 and hub.asked == []
        assert f"ti models fetch {NAME}" in dry.stderr
        made = ti(hub, tmp_path, "generate", "a cup", "-m", NAME, "--steps", "1", "--json")
        assert made.returncode == 0, made.stderr
        assert "downloading" in made.stderr
        assert (tmp_path / json.loads(made.stdout)[0]["path"]).is_file()


@pytest.mark.parametrize("how", ["flag", "TI_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_asks_nobody(repository, tmp_path, how):
    with serve(Hub(NAME, repository)) as hub:
        flag = ("--offline",) if how == "flag" else ()
        extra = {} if how == "flag" else {how: "1"}
        result = ti(hub, tmp_path, "models", "fetch", NAME, *flag, **extra)
        assert result.returncode == 5 and hub.asked == []
        assert "Traceback" not in result.stderr and NAME in result.stderr


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "RepoNotFound", "private"),
        (403, "GatedRepo", "accepted its terms"),
        (403, "", "refused"),
        (404, "RepoNotFound", "knows no model"),
        (503, "", "503"),
    ],
)
def test_refusals_in_words(repository, tmp_path, status, code, words):
    with serve(Hub(NAME, repository, status=status, error_code=code)) as hub:
        result = ti(hub, tmp_path, "models", "fetch", NAME, "--json")
    assert result.returncode == 5, result.stderr
    error = json.loads(result.stdout)["error"]
    assert words in error["message"] + error["hint"] and NAME in error["message"]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "GatedRepo", "accepted its terms"),
        (403, "GatedRepo", "accepted its terms"),
        (403, "", "answered 403"),
    ],
)
def test_a_model_whose_files_are_gated(repository, tmp_path, status, code, words):
    """The hub tells everybody what a gated model consists of, and gives its files to few."""
    hub = Hub(NAME, repository, status=status, error_code=code, files_only=True)
    with serve(hub):
        result = ti(hub, tmp_path, "models", "fetch", NAME, "--json")
    assert result.returncode == 5, result.stderr
    error = json.loads(result.stdout)["error"]
    assert words in error["message"] and f"{hub.url}/{NAME}" in error["hint"]
    assert "hf auth login" in error["hint"] and "Traceback" not in result.stderr
    assert any(path.startswith("/api/models/") for path in hub.asked)


def test_a_download_that_broke_off_goes_on(repository, tmp_path):
    with serve(Hub(NAME, repository, cut_off=True)) as hub:
        broken = ti(hub, tmp_path, "models", "fetch", NAME)
        assert broken.returncode == 5 and "broke off" in broken.stderr, broken.stderr
        assert "Traceback" not in broken.stderr and "Trying to resume" not in broken.stderr
        unusable = ti(hub, tmp_path, "generate", "a cup", "-m", NAME, "--offline", "--dry-run")
        assert unusable.returncode == 5
        hub.cut_off = False
        result = ti(hub, tmp_path, "models", "fetch", NAME, "--json")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["family"] == "sd1"


def test_a_hub_that_is_not_there(repository, tmp_path):
    hub = Hub(NAME, repository, url="http://127.0.0.1:9")
    result = ti(hub, tmp_path, "models", "fetch", NAME)
    assert result.returncode == 5 and "Traceback" not in result.stderr
    assert f"the hub cannot be reached for {NAME}" in result.stderr


@pytest.mark.parametrize("harm", ["no index", "unknown family", "only pickles"])
def test_repositories_that_cannot_be_used_are_left_alone(repository, tmp_path, harm):
    import shutil

    folder = Path(shutil.copytree(repository, tmp_path / "copy"))
    if harm == "no index":
        (folder / "model_index.json").unlink()
    elif harm == "unknown family":
        (folder / "model_index.json").write_text('{"_class_name": "CogView4Pipeline"}')
    else:
        for file in folder.rglob("*.safetensors"):
            file.rename(file.with_suffix(".bin"))
    with serve(Hub(NAME, folder)) as hub:
        result = ti(hub, tmp_path, "models", "fetch", NAME)
        assert result.returncode == 5 and "Traceback" not in result.stderr
        assert not any(path.endswith((".safetensors", ".bin")) for path in hub.asked)
