"""Depends on nothing but itself."""

from exact import train

train(3)
