"""A real server: llama.cpp's own, which speaks chat and no batches, answers a model."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from folders import opened, write
from tiny_gguf import write_llm

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = """
    ---
    key: id
    output: |
      kind ENUM('tree', 'shrub') NOT NULL,
      tall BOOLEAN NOT NULL
    ---
    You know plants.

    user:
    {{ name }}: {{ coalesce(note, 'nothing') }}
"""
SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_parallel, params.n_ctx = sys.argv[1], 2, 4096
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.few(0)
def test_llama_server_answers_a_model(tmp_path: Path) -> None:
    """By one line of project.yml; a row that is answered is not asked again."""
    llm = write_llm(tmp_path / "tiny.gguf")
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(llm)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdin and child.stdout
        address = child.stdout.readline().strip()
        mine = {"type": "llama-server", "base_url": f"{address}/v1", "llm": "tiny"}
        files = {
            "project.yml": json.dumps({"provider": "mine", "providers": {"mine": mine}}),
            "seeds/plants.csv": "id,name,note\n1,ash,tall\n2,birch,white\n3,hazel,\n",
            "models/kinds.sql": "SELECT id, name, note FROM plants\n",
            "models/kinds.prompt.md": PROMPT,
        }
        write(tmp_path, files)
        assert opened(tmp_path).preview("kinds", limit=1).asked == 1
        (state,) = opened(tmp_path).run()
        # The llm has random weights, but the server keeps to the schema.
        assert (state.requests, state.ok) == (2, 3)
        assert opened(tmp_path).plan()[0].settled
        child.stdin.close()
