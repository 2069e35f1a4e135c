"""The templates of `templates/`, by Jinja, which is an extra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_repro.errors import ReproError


def templates(
    what: str, *, escapes: bool, finalize: Callable[[Any], Any], as_it_is: Callable[[str], Any]
) -> Any:
    """Makes the Jinja environment of the templates.

    Args:
        what: what they are wanted for, for the error.
        escapes: whether Jinja escapes for HTML what is put in.
        finalize: what each value passes through before.
        as_it_is: marks a text as one that is not to be escaped; a filter of this name in the templates.

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
