"""Errors that an operator can mend."""


class OperatorError(Exception):
    """One sentence that says what is wrong and what to do next; it is shown without a traceback.

    Attributes:
        exit_code: What the process ends with.
    """

    def __init__(self, sentence: str, *, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
