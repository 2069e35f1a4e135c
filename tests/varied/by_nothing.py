"""Depend on no condition."""

from exact import train

train(3)
