#!/usr/bin/python3
"""
A game server of few words, for tests: binds its port, echoes datagrams, ends as it is told to.

argv: the port, and how many seconds to wait before it is bound. Datagrams: ``exit N`` ends with
that status, everything else comes back.
"""

import socket
import sys
import time

print("starting", flush=True)
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.bind(("0.0.0.0", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        data, peer = link.recvfrom(4096)
        if data.startswith(b"exit "):
            print("giving up: the disk of the moon is full", flush=True)
            sys.exit(int(data[5:]))
        link.sendto(data, peer)
