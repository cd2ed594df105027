"""TCP, UDP, DNS and IPv6 to the outside. Held: all fail at once, the run goes on."""

VERDICT = ("ok",)
CODE = """
import socket
def tcp(): socket.create_connection(("8.8.8.8", 53), 3); print("OPEN tcp")
def udp(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53)); print("OPEN udp")
def dns(): socket.getaddrinfo("example.org", 80); print("OPEN dns")
def ipv6(): socket.socket(socket.AF_INET6).connect(("2001:4860:4860::8888", 53)); print("OPEN ipv6")
for act in (tcp, udp, dns, ipv6):
    try: act()
    except OSError as problem: print("closed", act.__name__, problem)
print("went on")
"""


def attack(case):
    ran = case.run(CODE)
    case.held("OPEN" not in ran.log and "went on" in ran.log, ran.log)
    return ran.outcome.verdict, "no route, the run goes on"
