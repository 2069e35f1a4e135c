"""Load the Jinja templates of `templates/`; Jinja is an optional dependency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_repro.errors import ReproError


def template_environment(product: str, *, autoescape: bool, finalize: Callable[[Any], Any]) -> Any:
    """Make the Jinja environment of the templates.

    Args:
        product: the product of the templates, for the error message.
        autoescape: whether Jinja escapes values for HTML.
        finalize: applied to each value before it is escaped.

    Raises:
        ReproError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise ReproError(
            f"{product} needs jinja2; install it with: pip install 'keras_repro[report]'"
        ) from None
    return jinja2.Environment(
        loader=jinja2.PackageLoader("keras_repro.report"),
        autoescape=autoescape,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
