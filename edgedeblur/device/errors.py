"""How contact with a phone ends before the work does."""

from edgedeblur.errors import INTERRUPTED, UserError


class ContactLost(UserError):
    """The work on the phone was interrupted; what was measured until then may be kept, marked as partial."""


class PhoneGone(ContactLost):
    """Unplugged, rebooted, or its adb daemon or the adb server ended."""

    def __init__(self, serial: str, reason: str):
        super().__init__(
            f"phone {serial} went away ({reason})", "check the cable, `adb devices` and that the phone is on; try again"
        )


class PhoneSilent(ContactLost):
    """Attached, but no answer."""

    def __init__(self, serial: str, seconds: float):
        super().__init__(
            f"phone {serial} did not respond for {seconds:g} s",
            "check that it is awake and the cable holds, or allow more with --timeout SECONDS",
        )


class BadAnswer(ContactLost):
    """It answers what no phone answers: too much, for too long, or not by the protocol."""

    def __init__(self, serial: str, what: str):
        super().__init__(f"phone {serial} {what}", "restart the phone, then adb: adb kill-server; try again")


class ProgramEnded(ContactLost):
    """Something on the phone ended the program."""

    def __init__(self, serial: str, by: str):
        super().__init__(
            f"the program on phone {serial} was ended by {by}",
            "close other apps, keep the phone awake and try again; adb logcat may say who ended it",
        )


class Interrupted(ContactLost):
    """The user pressed Ctrl-C."""

    def __init__(self, serial: str):
        super().__init__(f"interrupted; the program on phone {serial} was ended", exit_code=INTERRUPTED)
