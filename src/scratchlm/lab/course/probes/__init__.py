"""Probes by the name of the function that they call."""

from __future__ import annotations

from collections.abc import Mapping

from scratchlm.lab.course.probes import attention, gpt, scalars, text, training, tuning
from scratchlm.lab.course.probing import Probe

PROBES: Mapping[str, Probe] = {
    **text.PROBES,
    **attention.PROBES,
    **gpt.PROBES,
    **training.PROBES,
    **scalars.PROBES,
    **tuning.PROBES,
}
