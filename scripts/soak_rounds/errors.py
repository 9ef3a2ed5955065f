"""What a soak finds wrong."""


class SoakError(Exception):
    """Something is wrong after a fault; the message says what."""


class TooLateError(Exception):
    """The run ended before it could be disturbed."""
