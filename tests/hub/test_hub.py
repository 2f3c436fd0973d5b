"""Checkpoints from a hub and bundles to one, by the real client against a hub on this machine."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gemtab.bundle.folder import check_files, read_manifest
from gemtab.export import export_bundle
from gemtab.resources import tiny_checkpoint
from tests.cli.conftest import Ended, edit_json, ended, start_gemtab
from tests.cli.test_bad_output import SMALL_DISK, can_mount, in_a_namespace
from tests.hub.server import COMMIT, TOKEN, Hub, serving
from tests.silent import Silent

Run = Callable[..., Ended]
MODEL = "maker/tiny-gemma"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "README.md").write_text("Nothing yet.")
    with serving(Hub({MODEL: tiny_checkpoint(), "maker/empty": empty})) as served:
        yield served


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """Runs `gemtab` with its own cache of the hub's, in a folder of its own."""

    def run(*arguments: str | Path, url: str | None = None, before: tuple[str, ...] = (), **environment: str) -> Ended:
        settings = {"HF_ENDPOINT": url or hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        return ended(start_gemtab(*arguments, before=before, environment={**settings, **environment}))

    return run


def closed_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "tiny"
    export_bundle(tiny_checkpoint(), out, "q4", context=512, force=False, progress=Silent(), name=MODEL)
    return out


def test_a_models_id_is_downloaded_exported_and_then_taken_from_the_cache(run: Run, hub: Hub, tmp_path: Path) -> None:
    result = run("export", MODEL, tmp_path / "out", "--revision", "v1")
    assert result.code == 0, result.err
    assert f"--checkpoint {MODEL} --revision v1" in " ".join(result.out.split())
    manifest = read_manifest(tmp_path / "out")
    assert manifest.source.name == MODEL
    assert manifest.source.licence == "apache-2.0"
    check_files(tmp_path / "out", manifest)
    asked = {name for name, _ in hub.asked}
    assert "model.safetensors" in asked and "README.md" in asked
    hub.asked.clear()
    offline = run("export", MODEL, tmp_path / "again", "--revision", "v1", HF_HUB_OFFLINE="1")
    assert offline.code == 0, offline.err
    unreachable = run("export", MODEL, tmp_path / "third", "--revision", COMMIT, url=closed_port())
    assert unreachable.code == 0, unreachable.err
    assert hub.asked == []


def test_a_download_that_broke_off_is_gone_on_with(run: Run, hub: Hub, tmp_path: Path) -> None:
    hub.breaks_at["model.safetensors"] = 12_000_000
    result = run("export", MODEL, tmp_path / "out")
    assert result.code == 0, result.err
    # The client takes 10 MiB at a time, and asks again for what comes after the last that it has.
    assert [asked for name, asked in hub.asked if name == "model.safetensors"] == [None, "bytes=10485760-"]


def test_a_connection_that_stays_lost_is_said_in_words(run: Run, hub: Hub, tmp_path: Path) -> None:
    hub.lost = ("model.safetensors",)
    result = run("export", MODEL, tmp_path / "out")
    assert result.code == 10
    assert "Traceback" not in result.err
    # The client warns of each time that it tries again.
    last = result.err.strip().splitlines()[-1]
    assert last.startswith(f"gemtab: The download of {MODEL} failed: ") and "Run the same command again" in last


def test_a_folder_of_that_name_wins(run: Run, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path("exporter").resolve()))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_checkpoint(), tmp_path / MODEL)
    assert run("export", MODEL, tmp_path / "out").code == 0
    assert read_manifest(tmp_path / "out").source.name == "tiny-gemma"
    assert hub.asked == []
    run("export", MODEL, tmp_path / "other", "--revision", "v1").refused(2, "--revision v1", "is a local path")


@pytest.mark.parametrize(
    ("model", "revision", "words"),
    [
        ("maker/none", None, ("There is no folder maker/none", "hub has no such public model", "hf auth login")),
        ("maker/gated", None, ("is gated", "accept", "hf auth login")),
        (MODEL, "v9", ("has no revision v9",)),
        ("maker/empty", None, ("has no config.json",)),
    ],
)
def test_what_the_hub_does_not_give(
    run: Run, hub: Hub, tmp_path: Path, model: str, revision: str | None, words: tuple[str, ...]
) -> None:
    hub.gated = ("maker/gated",)
    more = [] if revision is None else ["--revision", revision]
    run("export", model, tmp_path / "out", *more).refused(10, *words)


@pytest.mark.parametrize(
    ("changes", "options", "code", "words"),
    [
        ({"model_type": "llama"}, [], 3, ("model_type is 'llama'", "gemma4")),
        ({}, ["--weights", "qat"], 2, ("--weights qat", "not pre-quantized")),
        ({}, ["--context", "1000000"], 2, ("--context 1000000 is out of range",)),
        ({}, ["--inputs", "text,smell"], 2, ("--inputs", "'smell'")),
        ({}, ["--adapter", "nowhere"], 3, ("nowhere/adapter_config.json is missing",)),
    ],
)
def test_what_needs_no_weights_is_checked_before_they_are_downloaded(
    run: Run,
    hub: Hub,
    tmp_path: Path,
    changes: dict[str, object],
    options: list[str],
    code: int,
    words: tuple[str, ...],
) -> None:
    hub.models["maker/other"] = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "other"))
    edit_json(tmp_path / "other" / "config.json", **changes)
    run("export", "maker/other", tmp_path / "out", *options).refused(code, *words)
    asked = {name for name, _ in hub.asked}
    assert "config.json" in asked and "model.safetensors" not in asked


def test_what_was_downloaded_before_a_refusal_is_kept(run: Run, hub: Hub, tmp_path: Path) -> None:
    run("export", MODEL, tmp_path / "out", "--weights", "qat").refused(2, "--weights qat")
    run("export", MODEL, tmp_path / "out", HF_HUB_OFFLINE="1").refused(
        10, "does not have the complete model", "HF_HUB_OFFLINE"
    )
    hub.asked.clear()
    result = run("export", MODEL, tmp_path / "out")
    assert result.code == 0, result.err
    assert {name for name, _ in hub.asked} == {"model.safetensors"}


def test_a_wrong_adapter_is_seen_before_the_weights_are_downloaded(run: Run, hub: Hub, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file({"base_model.model.x.lora_A.weight": torch.zeros(2, 2)}, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text('{"peft_type": "LOHA", "r": 2, "lora_alpha": 2}')
    run("export", MODEL, tmp_path / "out", "--adapter", adapter).refused(3, "peft_type is LOHA", "only LORA")
    assert "model.safetensors" not in {name for name, _ in hub.asked}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", ("no model.safetensors on the hub", "pytorch_model.bin", "pickled", "save_pretrained")),
        ("tiny-Q8_0.gguf", ("has GGUF files", "tiny-Q8_0.gguf")),
        ("model-00001-of-00001.safetensors", ("model.safetensors.index.json", "is missing")),
        ("model-00002-of-00003.safetensors", ("2 of 3 shards are missing", "number 1")),
        ("consolidated.safetensors", ("has consolidated.safetensors", "rename")),
    ],
)
def test_a_repository_without_weights_that_are_read(
    run: Run, hub: Hub, tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    other = hub.models["maker/other"] = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "other"))
    (other / "model.safetensors").rename(other / name)
    run("export", "maker/other", tmp_path / "out").refused(10, *words)
    assert name not in {asked for asked, _ in hub.asked}


def test_a_repository_of_an_adapter(run: Run, hub: Hub, tmp_path: Path) -> None:
    adapter = hub.models["maker/adapter"] = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "README.md").write_text("Trained on tiny-gemma.")
    run("export", "maker/adapter", tmp_path / "out").refused(10, "no config.json", "peft adapter", "--adapter")


def test_weights_that_are_not_the_models_are_not_downloaded(run: Run, hub: Hub, tmp_path: Path) -> None:
    other = hub.models["maker/other"] = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "other"))
    shutil.copyfile(other / "model.safetensors", other / "consolidated.safetensors")
    assert run("export", "maker/other", tmp_path / "out").code == 0
    assert "consolidated.safetensors" not in {asked for asked, _ in hub.asked}


def test_what_programs_quantised_is_refused_before_it_is_downloaded(run: Run, hub: Hub, tmp_path: Path) -> None:
    hub.models["maker/other"] = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "other"))
    edit_json(tmp_path / "other" / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    run("export", "maker/other", tmp_path / "out").refused(3, "bitsandbytes", "dequantize()", "--adapter")
    assert "model.safetensors" not in {asked for asked, _ in hub.asked}


def test_a_chats_files_are_missed_before_the_weights_are_downloaded(run: Run, hub: Hub, tmp_path: Path) -> None:
    hub.models["maker/base"] = Path(shutil.copytree(tiny_checkpoint(), tmp_path / "base"))
    (tmp_path / "base" / "chat_template.jinja").unlink()
    run("export", "maker/base", tmp_path / "out").refused(
        3, "has no chat template", "chat_template.jinja and chat_template.json are missing"
    )
    assert "model.safetensors" not in {name for name, _ in hub.asked}


if can_mount():

    def test_weights_that_the_caches_disk_cannot_hold_are_not_begun(run: Run, hub: Hub, tmp_path: Path) -> None:
        disk, size = tmp_path / "disk", (tiny_checkpoint() / "model.safetensors").stat().st_size
        before = in_a_namespace(disk, SMALL_DISK, size="4m")
        ending = run("export", MODEL, tmp_path / "out", before=before, HF_HOME=str(disk))
        ending.refused(8, MODEL, str(disk), f"{size:,} bytes more", "the disk has 4,", "HF_HOME")
        assert "model.safetensors" not in {name for name, _ in hub.asked}

    def test_a_caches_disk_that_fills_on_the_way(run: Run, tmp_path: Path) -> None:
        """The tokenizer is larger than the disk, and of the small files none is asked for beforehand."""
        disk = tmp_path / "disk"
        before = in_a_namespace(disk, SMALL_DISK, size="64k")
        ending = run("export", MODEL, tmp_path / "out", before=before, HF_HOME=str(disk))
        ending.refused(8, MODEL, str(disk), "bytes more, and the disk has", "free", "HF_HOME", "are kept")


def test_no_network(run: Run, tmp_path: Path) -> None:
    run("export", MODEL, tmp_path / "out", url=closed_port()).refused(10, "cannot be reached", "HF_HUB_OFFLINE")
    run("export", MODEL, tmp_path / "out", HF_HUB_OFFLINE="1").refused(10, "cannot be reached", "HF_HUB_OFFLINE")


def test_a_bundle_is_published_and_an_earlier_one_replaced(run: Run, hub: Hub, bundle: Path) -> None:
    old = {"onnx/embed_tokens_fp16.onnx_data": b"old", "notes.txt": b"mine"}
    hub.repositories["me/tiny-web"] = dict(old)
    result = run("publish", bundle, "--to", "me/tiny-web", HF_TOKEN=TOKEN)
    assert result.code == 0, result.err
    assert f"{hub.url}/me/tiny-web/commit/{COMMIT}" in result.out
    expected = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    found = hub.repositories["me/tiny-web"]
    assert found == {**expected, "notes.txt": b"mine"}
    assert "gemtab.json" in found and b"base_model: maker/tiny-gemma" in found["README.md"]


def test_a_new_repository_can_be_private(run: Run, hub: Hub, bundle: Path) -> None:
    assert run("publish", bundle, "--to", "me/secret", "--private", HF_TOKEN=TOKEN).code == 0
    assert hub.private == {"me/secret"}


def test_a_dry_run_says_what_would_be_uploaded_and_does_not(run: Run, hub: Hub, bundle: Path) -> None:
    result = run("publish", bundle, "--to", "me/tiny-web", "--dry-run")
    assert result.code == 0, result.err
    for name in ("gemtab.json", "README.md", "onnx/embed_tokens_q4.onnx_data"):
        assert name in result.out
    assert hub.repositories == {}


def test_without_a_repository_commands_are_printed(run: Run, bundle: Path) -> None:
    result = run("publish", bundle)
    assert result.code == 0
    for command in ("rsync -a", "aws s3 sync", "rclone sync", "gemtab publish"):
        assert command in result.out
    assert str(bundle) in result.out


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ({}, ("could not be written", "hf auth login")),
        ({"HF_TOKEN": "hf_wrong"}, ("rejects the login", "may write to me's")),
    ],
)
def test_who_may_not_write_is_asked_to_log_in(
    run: Run, bundle: Path, token: dict[str, str], words: tuple[str, ...]
) -> None:
    result = run("publish", bundle, "--to", "me/tiny-web", **token)
    assert result.code == 10
    assert all(word in result.err for word in words), result.err


def test_a_damaged_bundle_is_not_published(run: Run, hub: Hub, bundle: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(bundle, tmp_path / "spoilt"))
    (spoilt / "config.json").write_text("{}")
    run("publish", spoilt, "--to", "me/tiny-web", HF_TOKEN=TOKEN).refused(4, "config.json")
    assert hub.repositories == {}


def test_a_name_that_no_repository_can_have(run: Run, bundle: Path) -> None:
    result = run("publish", bundle, "--to", "a/b/c", HF_TOKEN=TOKEN)
    assert result.code == 2
    assert "user/name" in result.err
