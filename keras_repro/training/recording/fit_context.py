"""Pass the details of a fit from the trainer to the recorder of a launched script."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

# `data`, `validation_data`, `order`, ... of the fit; None outside of a trainer.
fit_details: ContextVar[Mapping[str, Any] | None] = ContextVar("fit_details", default=None)
