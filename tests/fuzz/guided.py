"""Byte fuzzing guided by coverage: a process of its own, because libFuzzer ends the one it is in.

``python -m tests.fuzz.guided FOLDER -runs=… -seed=… -max_total_time=…`` fuzzes until an input
breaks a promise, which is kept in a file of its own, or until it was run so often or so long. The
first byte of the fuzzer's bytes chooses the content type; what follows the first newline is the
query.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
from tests.fuzz.given import Given, keep

CONTENT_TYPES: Final = (
    "application/x-www-form-urlencoded",
    "application/json",
    None,
    "text/plain; charset=utf-16",
)
INPUT_BYTES_MAX: Final = 4_096
SLOW_INPUT_S: Final = 10
START_LIMIT_S: Final = 60
DONE: Final = re.compile(r"Done (\d+) runs")
COVERED: Final = re.compile(r"cov: (\d+)")

SEEDS: Final = (
    *(
        b"\0name=Jane&metadata[k]=v",
        b"\0email=a@b.c\nexpand[]=tax_ids",
        b"\0phone=+1&description=%C3%BC+%2B",
    ),
    b"\0tax_id_data[0][type]=eu_vat&tax_id_data[0][value]=DE123456789&preferred_locales[]=fr",
    b"\0invoice_settings[custom_fields][0][name]=PO&invoice_settings[custom_fields][0][value]=7",
    b"\0shipping[name]=J&shipping[address][city]=O&invoice_settings[rendering_options][template]=",
    b'\1{"address": {"city": "Oslo"}, "balance": -1, "metadata": {}, "tax_exempt": null}',
    b'\1{"tax": {"ip_address": "::1"}, "cash_balance": {"settings": {}}, "expand": ["tax"]}',
)


class Guided(msgspec.Struct, frozen=True):
    """What one run of the fuzzer came to."""

    runs: int
    covered_edges: int
    broke: bool
    said: str


def is_installed() -> bool:
    """Tell whether this system has the fuzzer: it is not built for every one."""
    return importlib.util.find_spec("atheris") is not None


def given_of(raw: bytes) -> Given:
    """Return the input that the fuzzer's bytes stand for."""
    body, _, query = raw[1:].partition(b"\n")
    content_type = CONTENT_TYPES[raw[0] % len(CONTENT_TYPES)] if raw else None
    return Given(content_type=content_type, body=body, query=query)


def run(runs: int, limit_s: int, seed: int, folder: Path) -> Guided:
    """Run the fuzzer in a process of its own, from the seeds in a folder that is made here."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(SEEDS):
        (folder / f"seed-{number}").write_bytes(raw)
    words = [
        *(sys.executable, "-m", __name__, str(folder), f"-runs={runs}", f"-seed={seed}"),
        *(f"-max_total_time={limit_s}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={SLOW_INPUT_S}"),
        f"-artifact_prefix={folder}/",
    ]
    done = subprocess.run(  # noqa: S603 - our own words
        words, capture_output=True, text=True, check=False, timeout=limit_s + START_LIMIT_S
    )
    counted, covered = DONE.findall(done.stderr), COVERED.findall(done.stderr)
    return Guided(
        runs=int(counted[-1]) if counted else 0,
        covered_edges=int(covered[-1]) if covered else 0,
        broke=done.returncode != os.EX_OK,
        said=done.stdout + done.stderr[-2_000:],
    )


def main() -> None:
    atheris = importlib.import_module("atheris")  # it is not built for every system

    with atheris.instrument_imports(include=["chaching", "chaching_api"]):
        from tests.fuzz.oracle import judge  # noqa: PLC0415 - what it imports is instrumented

    def try_one(raw: bytes) -> None:
        given = given_of(raw)
        try:
            judge(given)
        except BaseException:
            sys.stdout.write(f"kept in {keep(given)}\n")
            sys.stdout.flush()
            raise

    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
