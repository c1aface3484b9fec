"""Shapes are checked while testing; fixtures that several folders share."""

from jaxtyping import install_import_hook

# Before anything imports the package: annotations of shapes become checks.
for part in ("model", "training", "generation"):
    install_import_hook(f"scratchlm.{part}", "beartype.beartype")

from scripts import data, fuzzed, scripts  # noqa: E402

__all__ = ["data", "fuzzed", "scripts"]
