"""The shop's private package: how this house greets."""


def greet(whom):
    """Returns the greeting for the door."""
    return f"Good day, {whom}. Do come in."
