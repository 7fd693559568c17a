"""A stand-in for a phone: the device's side of ADB over loopback, with a small Android behind it.

What it is true to: the protocol (greeting, keys, services, both shells, sync), a shell that is mksh, processes with a
pid namespace and a clock of their own that a reboot ends, a full disk, a folder that forbids execution, programs of
aarch64 under qemu. What it is not: a phone's speed, heat, scheduler, kernel or SELinux.

`tests.standin.device.StandIn` starts one in a process of its own. It needs Linux user namespaces, and Debian's mksh,
busybox-static and, for programs of aarch64, qemu-user-static.
"""
