"""Choose the vocabulary by the user's language."""

import locale

from exact import train

train(len(locale.setlocale(locale.LC_ALL, "")))
