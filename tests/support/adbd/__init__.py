"""A phone's adb daemon without a phone: the real wire protocol on loopback, a sandbox, ARM programs under qemu."""
