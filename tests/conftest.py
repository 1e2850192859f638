"""What all tests share: where the real data is, and shape checks on every call of the package."""
import importlib.metadata
import os
import pathlib
import signal
import sys

# Tests compile hundreds of small programs and run each for a moment: most of their time goes to optimising them. With
# XLA_FLAGS="" everything is as users have it. A jaxlib after 0.10 ends at the last flag, which it does not know.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true" + (
    " --xla_cpu_use_fusion_emitters=false" * importlib.metadata.version("jaxlib").startswith("0.10.")))

import jax
import pytest
from jaxtyping import install_import_hook

sys.dont_write_bytecode = True  # or a command that a test starts could find the bytecode of a module with checks in it
install_import_hook("embeddings", "beartype.beartype")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a shell; commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_num_cpu_devices", 8)  # by configuration, not environment: commands that tests start have one


@pytest.fixture(scope="session")
def data() -> pathlib.Path:
    """The folder of real data sets; tests that need it are left out where it is missing."""
    folder = os.environ.get("EMBEDDINGS_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("EMBEDDINGS_DATA names no folder of data sets")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def gpu() -> None:
    """Leaves a test out where there is no NVIDIA GPU."""
    if not pathlib.Path("/dev/nvidia0").exists():
        pytest.skip("there is no NVIDIA GPU")


@pytest.fixture
def matrix(record_property):
    """Called with a case, a condition and a deviation: they are printed when all tests are done."""
    return lambda case, condition, value: record_property("deviation", (case, condition, float(value)))


def pytest_terminal_summary(terminalreporter) -> None:
    """Prints the invariance matrix."""
    reports = (report for group in terminalreporter.stats.values() for report in group)
    told = (told for report in reports if getattr(report, "when", "") == "call" for told in report.user_properties)
    found = {(case, condition): value for name, (case, condition, value) in told if name == "deviation"}
    if not found:
        return
    columns = sorted({condition for _, condition in found})
    terminalreporter.section("largest deviation from the run on one device")
    terminalreporter.write_line("| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for case in sorted({case for case, _ in found}):
        values = (found.get((case, condition)) for condition in columns)
        cells = ("-" if value is None else f"{value:.0e}" if value else "0" for value in values)
        terminalreporter.write_line(f"| {case} | " + " | ".join(cells) + " |")
