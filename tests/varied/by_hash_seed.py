"""Number the classes in the order of a set."""

from exact import train

train(list({"cat", "dog", "owl", "fox", "hen", "bee", "ant", "eel"}).index("cat"))
