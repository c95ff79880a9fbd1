"""Waiting until a phone is cool, so that measurements begin alike."""

import time
from collections.abc import Callable

from edgedeblur.device.condition import read_condition
from edgedeblur.device.shell import Phone
from edgedeblur.errors import UserError

DEFAULT_C = 40.0
_POLL_S = 2.0
_SECONDS_BETWEEN_LINES = 30.0
_LONGEST_S = 1800.0


def wait_until_cool(phone: Phone, limit_c: float, log: Callable[[str], None], longest_s: float = _LONGEST_S) -> None:
    """Returns when the processor's hottest sensor shows at most `limit_c`; tells now and then how hot it still is.

    Raises:
        UserError: no temperature can be read, or it is not cool after `longest_s`.
        PhoneGone, PhoneSilent.
    """
    begin = told = time.monotonic()
    first = True
    while True:
        now_c = read_condition(phone).cpu_c
        if now_c is None:
            raise UserError(f"phone {phone.serial} gives no temperature", "leave out --cooldown")
        if now_c <= limit_c:
            return
        now = time.monotonic()
        if now - begin > longest_s:
            raise UserError(
                f"phone {phone.serial} is still at {now_c:.1f} C after {longest_s / 60:g} minutes, not {limit_c:g} C",
                "unplug its charger, take it out of its case, or wait for a higher temperature: --cooldown CELSIUS",
            )
        if first or now - told >= _SECONDS_BETWEEN_LINES:
            log(f"waiting for {limit_c:g} C; the phone is at {now_c:.1f} C")
            first, told = False, now
        time.sleep(_POLL_S)
