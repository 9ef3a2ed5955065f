"""What a soak finds wrong."""


class SoakError(Exception):
    """Something is wrong after a fault; the message says what."""
