"""Which phone: all that adb knows, the one that was meant, and why another cannot be used."""

import os
from typing import TYPE_CHECKING

from edgedeblur.device.shell import ANSWER_S, Phone
from edgedeblur.errors import UserError

if TYPE_CHECKING:
    import adbutils

_READY = "device"
_DEBUGGING = "plug it in and allow USB debugging (Settings > Developer options), then check: adb devices"
# adb's word for a state: what it means, what fixes it.
_STATES = {
    "unauthorized": ("has not authorised this computer", "unlock it and tap Allow on 'Allow USB debugging?'"),
    "authorizing": ("is still authorising this computer", "unlock it, tap Allow and try again"),
    "offline": ("is offline", "unplug it and plug it in again; if it stays so: adb kill-server, or restart the phone"),
    "connecting": ("is still connecting", "wait a moment and try again"),
    "no": ("may not be opened by this user", "add a udev rule for it (Debian: apt-get install adb), plug it in again"),
    "recovery": ("is in recovery mode", "start Android on it"),
    "sideload": ("is in sideload mode", "start Android on it"),
    "bootloader": ("is in its bootloader", "start Android on it"),
}
_REQUIRED_FEATURE = "shell_v2"


def choose_phone(serial: str | None = None) -> Phone:
    """The phone with this serial number; without one that of $ANDROID_SERIAL, else the only one that is ready.

    Raises:
        UserError: none is attached, several are, or the one that is meant cannot be used: unauthorised, offline, in
            its bootloader, or older than Android 7; adbutils is not installed, or there is no adb server.
    """
    client = adb_client()
    attached = _attached(client)
    wanted = serial or os.environ.get("ANDROID_SERIAL")
    if wanted:
        return _named(client, attached, wanted)
    ready = [name for name, state in attached.items() if state == _READY]
    if len(ready) > 1:
        raise UserError(
            f"{len(ready)} phones are attached: {', '.join(ready)}",
            f"choose one: --adb {ready[0]}, or measure each: --devices all",
            exit_code=2,
        )
    if ready:
        return _open(client, ready[0])
    if len(attached) == 1:
        return _named(client, attached, next(iter(attached)))
    if attached:
        raise UserError(f"none of {len(attached)} attached phones can be used: {_listed(attached)}", _DEBUGGING)
    raise UserError("no phone is attached", _DEBUGGING)


def ready_phones() -> tuple[list[Phone], list[str]]:
    """Every phone that can be used, and a line for each that cannot.

    Raises:
        UserError: there is none to use.
    """
    client = adb_client()
    attached = _attached(client)
    phones, refused = [], []
    for serial in attached:
        try:
            phones.append(_named(client, attached, serial))
        except UserError as error:
            refused.append(error.message)
    if not phones:
        raise UserError("; ".join(refused) or "no phone is attached", _DEBUGGING)
    return phones, refused


def adb_client() -> "adbutils.AdbClient":
    """A client of the adb server, which is started where it does not run (port: $ANDROID_ADB_SERVER_PORT, or 5037).

    Raises:
        UserError: adbutils is not installed, or the server cannot be started.
    """
    try:
        import adbutils
    except ImportError:
        raise UserError(
            "adbutils is not installed; phones are reached through it", "pip install 'edgedeblur[adb]'"
        ) from None
    try:
        client = adbutils.AdbClient(socket_timeout=ANSWER_S)
        client.list()
    except (adbutils.AdbError, OSError, ValueError) as error:
        raise UserError(f"there is no adb server, and it cannot be started: {error}", "apt-get install adb") from None
    return client


def adb_version() -> str:
    """The version of the adb server's protocol, "1.0.41", or "unknown" where it has ended meanwhile."""
    try:
        return f"1.0.{adb_client().server_version()}"
    except UserError:
        return "unknown"


def _attached(client: "adbutils.AdbClient") -> dict[str, str]:
    """{serial: adb's word for its state}."""
    return {info.serial: info.state for info in client.list()}


def _named(client: "adbutils.AdbClient", attached: dict[str, str], serial: str) -> Phone:
    if serial not in attached:
        there = f"attached: {_listed(attached)}" if attached else "no phone is attached"
        raise UserError(f"no phone {serial}; {there}", _DEBUGGING, exit_code=2)
    state = attached[serial]
    if state != _READY:
        meaning, fix = _STATES.get(state, (f"is in state {state!r}", _DEBUGGING))
        raise UserError(f"phone {serial} {meaning}", fix)
    return _open(client, serial)


def _open(client: "adbutils.AdbClient", serial: str) -> Phone:
    phone = Phone(serial, client.device(serial))
    if _REQUIRED_FEATURE not in phone.features():
        raise UserError(f"phone {serial} has an adb daemon without {_REQUIRED_FEATURE}", "use Android 7 or newer")
    return phone


def _listed(attached: dict[str, str]) -> str:
    return ", ".join(f"{serial} ({state})" for serial, state in attached.items())
