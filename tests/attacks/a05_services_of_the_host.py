"""Looks for services of the host: cloud metadata, databases, the Docker daemon.

Id: A05
Exercise: double
Verdict: accepted
"""

import socket


class LEAKED(Exception):
    pass


for host in ("169.254.169.254", "127.0.0.1", "172.17.0.1", "10.0.2.2", "::1"):
    for port in (22, 80, 2375, 5432, 6379):
        try:
            socket.create_connection((host, port), timeout=0.02)
        except OSError:
            continue
        raise LEAKED(f"{host}:{port}")
for path in ("/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/systemd/private"):
    try:
        socket.socket(socket.AF_UNIX).connect(path)
    except OSError:
        continue
    raise LEAKED(path)


def double(x, factor=2.0):
    return factor * x
