"""Load the Jinja templates of `templates/`; Jinja is an optional dependency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_repro.errors import ReproError


def templates(
    what: str, *, escapes: bool, finalize: Callable[[Any], Any], as_it_is: Callable[[str], Any]
) -> Any:
    """Make the Jinja environment of the templates.

    Args:
        what: the product of the templates, for the error message.
        escapes: whether Jinja escapes values for HTML.
        finalize: applied to each value before it is escaped.
        as_it_is: marks a text that must not be escaped; a filter of this name in the templates.

    Raises:
        ReproError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise ReproError(f"{what} needs jinja2; install it with: pip install 'keras_repro[report]'") from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_repro.report"),
        autoescape=escapes,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["as_it_is"] = as_it_is
    return environment
