"""A client of stateful DHCPv6 (RFC 8415) in little: asks, prints the address that it was given and the DNS server.

Run inside a network namespace: dhcpv6.py INTERFACE MAC. DUID-LL, so that the server knows the MAC.
"""
import os
import socket
import struct
import sys
import time

SOLICIT, ADVERTISE, REQUEST, REPLY = 1, 2, 3, 7
CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, ELAPSED, DNS, ORO = 1, 2, 3, 5, 8, 23, 6


def option(code, data):
    return struct.pack("!HH", code, len(data)) + data


def options(data):
    found = {}
    while len(data) >= 4:
        code, size = struct.unpack("!HH", data[:4])
        found[code] = data[4:4 + size]
        data = data[4 + size:]
    return found


def exchange(client, kind, body, wanted):
    """Asks until it is answered."""
    transaction = os.urandom(3)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            client.sendto(bytes([kind]) + transaction + body, TO)
            while True:
                answer = client.recv(2048)
                if answer[0] == wanted and answer[1:4] == transaction:
                    return options(answer[4:])
        except TimeoutError:
            pass
        except OSError:  # its link-local address is still tentative
            time.sleep(0.1)
    raise SystemExit("no answer")


interface, mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", ""))
TO = ("ff02::1:2", 547, 0, socket.if_nametoindex(interface))
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.settimeout(1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
sock.bind(("::", 546))
common = (option(CLIENT_ID, struct.pack("!HH", 3, 1) + mac) + option(ELAPSED, b"\0\0") +
          option(ORO, struct.pack("!H", DNS)))
identity = struct.pack("!III", 1, 0, 0)
offer = exchange(sock, SOLICIT, common + option(IA_NA, identity), ADVERTISE)
answer = exchange(sock, REQUEST, common + option(SERVER_ID, offer[SERVER_ID]) + option(IA_NA, offer[IA_NA]), REPLY)
address = options(answer[IA_NA][12:])[IA_ADDRESS][:16]
print(socket.inet_ntop(socket.AF_INET6, address), socket.inet_ntop(socket.AF_INET6, answer[DNS][:16]))
