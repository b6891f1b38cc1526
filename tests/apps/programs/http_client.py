"""http_client.py ADDRESS PORT DIRECTORY: 8 threads fetch files and compare them, with a new
connection for each (urllib) and with one for all (http.client)."""
import http.client
import pathlib
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

address, port, directory = sys.argv[1:]
expected = {name: pathlib.Path(directory, name).read_bytes() for name in ("small", "page", "middle")}


def fetch_alone(name):
    with urllib.request.urlopen(f"http://{address}:{port}/{name}", timeout=20) as answer:
        return answer.read() == expected[name]


def fetch_many(count):
    connection = http.client.HTTPConnection(address, int(port), timeout=20)
    right = True
    for _ in range(count):
        connection.request("GET", "/page")
        right &= connection.getresponse().read() == expected["page"]
    connection.close()
    return right


with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(fetch_alone, ["small", "page"] * 100 + ["middle"] * 3))
    results += pool.map(fetch_many, [25] * 8)
sys.exit(0 if all(results) else 1)
