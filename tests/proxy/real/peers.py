"""Starts real proxies, with configuration files of our own.

Each function is a context manager that starts one program and gives the ports it listens on. A
program that isn't installed skips the test, or fails it if ``TIDEGATE_REQUIRE_PEERS`` is set.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

USER, PASSWORD = "px", "s3c:r@t/%"
# What some of them can take: their formats have no room for special characters.
PLAIN_PASSWORD = "s3cretpw"

# Where programs for administrators are, which not everybody has in their PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])

START_TIMEOUT = 20


def find(program):
    """Give the path of a program."""
    path = shutil.which(program, path=PATH)
    if path is None:
        missing(f"{program} isn't installed")
    return path


def missing(reason):
    """Skip the test, or fail it where all programs have to be there."""
    if os.environ.get("TIDEGATE_REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count):
    """Give ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def running(command, ports, directory):
    """Run a program until the end of the block; begin when it listens on all its ports."""
    log = directory / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        for port in ports:
            while not listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    missing(f"{command[0]} doesn't start: {log.read_text(errors='replace')[-500:]}")
                time.sleep(0.02)
        yield
    finally:
        # Helpers of the program are in its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def write(directory, name, text):
    """Write a file that the user of a program can read."""
    path = directory / name
    path.write_text(text)
    path.chmod(0o644)
    return path


@contextlib.contextmanager
def squid(directory, certificates):
    """Squid: HTTP open, with Basic, with Digest; HTTPS open; NTLM, whose helper lets in anybody."""
    program = find("squid")
    helpers = Path("/usr/lib/squid")
    if not (helpers / "basic_ncsa_auth").exists() or "openssl" not in version(program):
        missing("squid has no helpers, or no OpenSSL")
    ports = dict(zip(["open", "basic", "tls"], free_ports(3), strict=True))
    password = apache_md5(PASSWORD)
    passwords = write(directory, "passwords", f"{USER}:{password}\n")
    config = f"""
pid_filename none
access_log none
cache_log stdio:{directory}/squid-cache.log
coredump_dir {directory}
cache deny all
visible_hostname squid.test
shutdown_lifetime 0 seconds
http_port 127.0.0.1:{ports["open"]} name=open
http_port 127.0.0.1:{ports["basic"]} name=basic
https_port 127.0.0.1:{ports["tls"]} name=tls tls-cert={certificates.pem} tls-key={certificates.pem}
auth_param basic program {helpers}/basic_ncsa_auth {passwords}
auth_param basic realm squid
auth_param basic children 1
acl needauth myportname basic
acl users proxy_auth REQUIRED
http_access allow needauth users
http_access deny needauth
http_access allow all
"""
    with squid_with(directory, "squid.conf", config, ports):
        yield ports


@contextlib.contextmanager
def squid_digest(directory, certificates):
    """Squid with Digest."""
    helper = Path("/usr/lib/squid/digest_file_auth")
    find("squid")
    if not helper.exists():
        missing("squid has no helper for Digest")
    [port] = free_ports(1)
    digest = hashlib.md5(f"{USER}:squid:{PASSWORD}".encode()).hexdigest()
    passwords = write(directory, "digests", f"{USER}:squid:{digest}\n")
    config = f"""
pid_filename none
access_log none
cache_log stdio:{directory}/squid-digest-cache.log
coredump_dir {directory}
cache deny all
visible_hostname squid.test
shutdown_lifetime 0 seconds
http_port 127.0.0.1:{port}
auth_param digest program {helper} -c {passwords}
auth_param digest realm squid
auth_param digest children 1
acl users proxy_auth REQUIRED
http_access allow users
http_access deny all
"""
    with squid_with(directory, "squid-digest.conf", config, {"digest": port}):
        yield {"digest": port}


@contextlib.contextmanager
def squid_ntlm(directory, certificates):
    """Squid with NTLM; its helper for tests believes everybody."""
    helper = Path("/usr/lib/squid/ntlm_fake_auth")
    find("squid")
    if not helper.exists():
        missing("squid has no helper for NTLM")
    [port] = free_ports(1)
    config = f"""
pid_filename none
access_log none
cache_log stdio:{directory}/squid-ntlm-cache.log
coredump_dir {directory}
cache deny all
visible_hostname squid.test
shutdown_lifetime 0 seconds
http_port 127.0.0.1:{port}
auth_param ntlm program {helper}
auth_param ntlm children 1
acl users proxy_auth REQUIRED
http_access allow users
http_access deny all
"""
    with squid_with(directory, "squid-ntlm.conf", config, {"ntlm": port}):
        yield {"ntlm": port}


@contextlib.contextmanager
def squid_with(directory, name, config, ports):
    """Start Squid, which becomes another user if it is started as root."""
    directory.chmod(0o777)
    # Shared memory of several instances is told apart by this.
    command = [find("squid"), "-N", "-n", f"tidegate{os.getpid()}{name[:-5].replace('-', '')}"]
    path = write(directory, name, config)
    with running([*command, "-f", str(path)], ports.values(), directory):
        yield


def version(program):
    done = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10)
    return done.stdout.lower()


def apache_md5(password):
    """Give the hash of a password as in .htpasswd files."""
    done = subprocess.run(
        [find("openssl"), "passwd", "-apr1", "-stdin"],
        input=password,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


@contextlib.contextmanager
def tinyproxy(directory, certificates):
    """Tinyproxy: open, and with Basic."""
    program = find("tinyproxy")
    ports = dict(zip(["open", "basic"], free_ports(2), strict=True))
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            config = f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nAllow 127.0.0.1\n"
            if name == "basic":
                config += f"BasicAuth {USER} {PLAIN_PASSWORD}\n"
            path = write(directory, f"tinyproxy-{name}.conf", config)
            stack.enter_context(running([program, "-d", "-c", str(path)], [port], directory))
        yield ports


@contextlib.contextmanager
def apache(directory, certificates):
    """Apache's mod_proxy_connect: with Basic, and with Digest."""
    program = find("apache2")
    modules = Path("/usr/lib/apache2/modules")
    if not (modules / "mod_proxy_connect.so").exists():
        missing("apache2 has no mod_proxy_connect")
    ports = dict(zip(["basic", "digest"], free_ports(2), strict=True))
    names = [
        "mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic",
        "auth_digest", "proxy", "proxy_connect",
    ]  # fmt: skip
    write(directory, "htpasswd", f"{USER}:{apache_md5(PASSWORD)}\n")
    digest = hashlib.md5(f"{USER}:apache:{PASSWORD}".encode()).hexdigest()
    write(directory, "htdigest", f"{USER}:apache:{digest}\n")
    directory.chmod(0o755)
    lines = [f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names]
    lines += [
        f"ServerRoot {directory}", "ServerName apache.test", f"PidFile {directory}/apache.pid",
        f"ErrorLog {directory}/apache.log", f"Mutex file:{directory} default",
        "AllowCONNECT 1-65535",
    ]  # fmt: skip
    if os.getuid() == 0:
        lines += ["User nobody", "Group nogroup"]
    for name, port in ports.items():
        kind = name.title()
        file = "htpasswd" if name == "basic" else "htdigest"
        lines += [
            f"Listen 127.0.0.1:{port}", f"<VirtualHost 127.0.0.1:{port}>", "ProxyRequests On",
            '<Proxy "*">', f"AuthType {kind}", "AuthName apache", f"Auth{kind}Provider file",
            f"AuthUserFile {directory}/{file}", "Require valid-user", "</Proxy>", "</VirtualHost>",
        ]  # fmt: skip
    path = write(directory, "apache.conf", "\n".join(lines) + "\n")
    command = [program, "-f", str(path), "-D", "FOREGROUND"]
    with running(command, ports.values(), directory):
        yield ports


@contextlib.contextmanager
def microsocks(directory, certificates):
    """microsocks: SOCKS5, open and with a password."""
    program = find("microsocks")
    ports = dict(zip(["open", "password"], free_ports(2), strict=True))
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            command = [program, "-i", "127.0.0.1", "-p", str(port)]
            if name == "password":
                command += ["-u", USER, "-P", PASSWORD]
            stack.enter_context(running(command, [port], directory))
        yield ports


DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
socksmethod: {method}
clientmethod: none
{users}
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect }}
"""


@contextlib.contextmanager
def dante(directory, certificates):
    """Dante: SOCKS4 and 5 without authentication, and SOCKS5 with users of the system.

    It gets such a user in a mount namespace of its own, so that the system isn't changed.
    """
    program = find("danted")
    unshare = [find("unshare"), "-m"]
    if subprocess.run([*unshare, "true"], capture_output=True, timeout=10).returncode:
        # No question of what is installed: containers often don't allow it.
        pytest.skip("dante needs a mount namespace, for a user that only it sees")
    ports = dict(zip(["open", "password"], free_ports(2), strict=True))
    users = "user.privileged: root\nuser.unprivileged: nobody"
    accounts = Path("/etc/passwd").read_text() + f"{USER}:x:64999:65534::/nonexistent:/bin/false\n"
    done = subprocess.run(
        [find("openssl"), "passwd", "-6", "-stdin"],
        input=PLAIN_PASSWORD, capture_output=True, text=True, timeout=10, check=True,
    )  # fmt: skip
    shadow = Path("/etc/shadow").read_text() + f"{USER}:{done.stdout.strip()}:19000:0:99999:7:::\n"
    write(directory, "passwd", accounts)
    write(directory, "shadow", shadow).chmod(0o600)
    with contextlib.ExitStack() as stack:
        for name, method in ("open", "none"), ("password", "username"):
            text = DANTE.format(port=ports[name], method=method, users=users)
            path = write(directory, f"dante-{name}.conf", text)
            command = [program, "-f", str(path), "-p", f"{directory}/dante-{name}.pid"]
            if name == "password":
                script = (
                    'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/shadow" /etc/shadow'
                    ' && exec "$@"'
                )
                command = [*unshare, "sh", "-c", script, str(directory), *command]
            stack.enter_context(running(command, [ports[name]], directory))
        yield ports


@contextlib.contextmanager
def ssh(directory, certificates):
    """``ssh -D``: SOCKS4, 4a and 5, without authentication."""
    server, client, keygen = find("sshd"), find("ssh"), find("ssh-keygen")
    server_port, port = free_ports(2)
    for name in "hostkey", "userkey":
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)],
            check=True,
            timeout=20,
        )
    shutil.copy(directory / "userkey.pub", directory / "authorized_keys")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    path = write(
        directory,
        "sshd.conf",
        f"Port {server_port}\nListenAddress 127.0.0.1\nHostKey {directory}/hostkey\n"
        f"AuthorizedKeysFile {directory}/authorized_keys\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
    )
    options = [
        "-F", "none", "-N", "-D", f"127.0.0.1:{port}", "-p", str(server_port),
        "-i", str(directory / "userkey"), "-o", "StrictHostKeyChecking=no",
        "-o", f"UserKnownHostsFile={directory}/known_hosts", "-o", "BatchMode=yes",
        "-o", "ExitOnForwardFailure=yes",
    ]  # fmt: skip
    with (
        running([server, "-D", "-e", "-f", str(path)], [server_port], directory),
        running([client, *options, "127.0.0.1"], [port], directory),
    ):
        yield {"open": port}


@contextlib.contextmanager
def stunnel(directory, certificates, http_port, socks_port):
    """stunnel: TLS in front of an HTTP proxy, and in front of a SOCKS proxy."""
    program = find("stunnel4")
    ports = dict(zip(["http", "socks"], free_ports(2), strict=True))
    config = "foreground = yes\npid =\n"
    for name, backend in ("http", http_port), ("socks", socks_port):
        config += (
            f"[{name}]\naccept = 127.0.0.1:{ports[name]}\nconnect = 127.0.0.1:{backend}\n"
            f"cert = {certificates.pem}\n"
        )
    path = write(directory, "stunnel.conf", config)
    with running([program, str(path)], ports.values(), directory):
        yield ports


@contextlib.contextmanager
def haproxy(directory, certificates, http_port):
    """HAProxy: TLS in front of an HTTP proxy; the same with client certificates, wrong name."""
    program = find("haproxy")
    ports = dict(zip(["tls", "client_cert", "wrong_name"], free_ports(3), strict=True))
    pem = certificates.pem
    binds = {
        "tls": f"ssl crt {pem} alpn http/1.1",
        "client_cert": f"ssl crt {pem} ca-file {certificates.path} verify required",
        "wrong_name": f"ssl crt {certificates.wrong_name_pem}",
    }
    config = "defaults\n mode tcp\n timeout connect 3s\n timeout client 30s\n timeout server 30s\n"
    for name, bind in binds.items():
        config += (
            f"listen {name}\n bind 127.0.0.1:{ports[name]} {bind}\n"
            f" server proxy 127.0.0.1:{http_port}\n"
        )
    path = write(directory, "haproxy.cfg", config)
    with running([program, "-f", str(path), "-db"], ports.values(), directory):
        yield ports


@contextlib.contextmanager
def privoxy(directory, certificates, socks_port):
    """Privoxy: an HTTP proxy that goes on through a SOCKS proxy."""
    program = find("privoxy")
    [port] = free_ports(1)
    path = write(
        directory,
        "privoxy.conf",
        f"confdir {directory}\nlogdir {directory}\nlisten-address 127.0.0.1:{port}\n"
        f"forward-socks5 / 127.0.0.1:{socks_port} .\n",
    )
    with running([program, "--no-daemon", str(path)], [port], directory):
        yield {"open": port}
