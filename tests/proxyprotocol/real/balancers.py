"""HAProxy, nginx and stunnel in front of a server, each with one way in."""

from __future__ import annotations

from pathlib import Path

from tidegate.testing.installed import InstalledProxy, Program

from ...proxy.real.peers import missing

STREAM_MODULES = [
    Path("/usr/lib/nginx/modules/ngx_stream_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_stream_module.so"),
]


def balancer(name: str, arguments: tuple[str, ...], config: str) -> InstalledProxy:
    """A program with a configuration, in which ``PORT`` is where it is to listen."""
    config = config.replace("{", "{{").replace("}", "}}").replace("PORT", "{port}")
    program = Program(name, "tcp", arguments, config)
    if program.path is None:
        missing(f"{name} isn't installed")
    return InstalledProxy(program)


def haproxy(
    port: int, server: str = "", *, bind: str = "", options: str = "", mode: str = "tcp"
) -> InstalledProxy:
    """HAProxy in front of a port of 127.0.0.1.

    Args:
        port: the port of the server.
        server: more words for its ``server`` line.
        bind: more words for its ``bind`` line.
        options: more lines.
        mode: ``tcp`` or ``http``.
    """
    return balancer(
        "haproxy",
        ("-f", "{config}", "-db"),
        f"""
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 3s
    timeout client 10s
    timeout server 10s
    timeout tunnel 10s
    unique-id-format id-%ci-%cp
listen front
    bind 127.0.0.1:PORT {bind}
    {options}
    server one 127.0.0.1:{port} {server}
""",
    )


def nginx_stream(port: int, *, listen: str = "", options: str = "") -> InstalledProxy:
    """nginx' stream module in front of a port of 127.0.0.1; it sends version 1.

    Args:
        port: the port of the server.
        listen: more words for its ``listen`` directive.
        options: more directives.
    """
    module = next((path for path in STREAM_MODULES if path.exists()), None)
    if module is None:
        missing("nginx' stream module isn't installed")
    return nginx(
        f"""
load_module {module};
events {{ worker_connections 64; }}
stream {{
    server {{
        listen 127.0.0.1:PORT {listen};
        proxy_pass 127.0.0.1:{port};
        {options}
    }}
}}
"""
    )


def nginx_http(port: int) -> InstalledProxy:
    """nginx as an HTTP proxy for WebSockets, which adds ``X-Forwarded-*``."""
    return nginx(
        f"""
events {{ worker_connections 64; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:PORT;
        location / {{
            proxy_pass http://127.0.0.1:{port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
}}
"""
    )


def nginx(config: str) -> InstalledProxy:
    return balancer(
        "nginx",
        ("-p", ".", "-e", "stderr", "-c", "{config}"),
        "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\n" + config,
    )


def stunnel(port: int, certificate: Path) -> InstalledProxy:
    """stunnel in front of a port of 127.0.0.1: takes TLS, sends version 1."""
    return balancer(
        "stunnel",
        ("{config}",),
        f"""
foreground = yes
pid =
[front]
accept = 127.0.0.1:PORT
connect = 127.0.0.1:{port}
cert = {certificate}
protocol = proxy
""",
    )
