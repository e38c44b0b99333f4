"""What servers and hubs do, for Prometheus.

It needs the package ``prometheus-client``: the extra ``metrics``.
"""

from __future__ import annotations

import asyncio
import bisect
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from .pubsub import Hub

__all__ = ["LoopLag", "Metrics"]

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"


class Family(NamedTuple):
    """Numbers of one name.

    Args:
        name: what comes behind ``tidegate_``; Prometheus adds ``_total`` to those of counters.
        kind: `COUNTER`, `GAUGE` or `HISTOGRAM`.
        label: what tells them apart; None if there is only one.
        text: what they are.

    """

    name: str
    kind: str
    label: str | None
    text: str


FAMILIES = (
    Family("connections", GAUGE, None, "Connections that are open, or being closed."),
    Family("handshakes_in_progress", GAUGE, None, "Opening handshakes that are going on."),
    Family("connections_opened", COUNTER, None, "Connections that were opened."),
    Family("connections_closed", COUNTER, "code", "Connections that ended, by the first code."),
    Family("messages", COUNTER, "direction", "Messages that came and went."),
    Family("bytes", COUNTER, "direction", "Bytes of frames that came and went."),
    Family("handshakes_refused", COUNTER, "limit", "Connections that were over a limit."),
    Family("http_responses", COUNTER, "status", "Opening handshakes answered with no connection."),
    Family("proxy_headers", COUNTER, "outcome", "Connections that may begin with a PROXY header."),
    Family("messages_waiting", GAUGE, None, "Messages that programs have not taken yet."),
    Family("buffered_bytes", GAUGE, None, "Bytes that clients have not taken yet."),
    Family("event_loop_lag_seconds", HISTOGRAM, None, "How late the event loop does things."),
    Family("hub_published", COUNTER, None, "Messages that programs published."),
    Family("hub_received", COUNTER, None, "Messages that came to hubs to be delivered."),
    Family("hub_deliveries", COUNTER, None, "Deliveries to receivers."),
    Family("hub_lost", COUNTER, "why", "Messages and deliveries that came to nothing."),
    Family("hub_closed_slow", COUNTER, None, "Receivers that were closed for being slow."),
    Family("hub_filled", COUNTER, None, "Messages that were read from the history afterwards."),
    Family("hub_gaps", COUNTER, None, "Gaps that were told."),
    Family("hub_reconnects", COUNTER, None, "How often an engine was connected to again."),
    Family("hub_queued_bytes", GAUGE, None, "What waits for slow receivers."),
    Family("hub_backlog_bytes", GAUGE, None, "What waits to be delivered, or for the engine."),
    Family("hub_topics", GAUGE, None, "Topics that somebody has joined, in each process."),
    Family("hub_members", GAUGE, None, "Connections that have joined something."),
    Family("workers", GAUGE, None, "Processes that serve."),
)

# Those of hubs that are one field of their stats.
OF_HUBS = {
    "hub_published": "published",
    "hub_received": "received",
    "hub_deliveries": "delivered",
    "hub_closed_slow": "closed_slow",
    "hub_filled": "filled",
    "hub_gaps": "gaps",
    "hub_reconnects": "reconnects",
    "hub_queued_bytes": "queued_bytes",
    "hub_backlog_bytes": "backlog_bytes",
    "hub_topics": "topics",
    "hub_members": "connections",
}
LOST = ("refused", "uncertain", "failed", "dropped_oldest", "dropped_newest")

# The numbers of each family, by the value of its label, which is "" if it has none. Those of a
# histogram are by the upper end of their bucket, and "sum".
Numbers = dict[str, dict[str, float]]

# How often the event loop is asked whether it is in time, and the buckets of its answers, in
# seconds.
LOOK_EVERY = 0.25
BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """How late the event loop does what is due, in which it is made.

    Args:
        loop: the event loop; by default the one that runs.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = asyncio.get_running_loop() if loop is None else loop
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        self.due = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self._set_timer()

    def _set_timer(self) -> None:
        self.due = self.loop.time() + LOOK_EVERY
        self.timer = self.loop.call_at(self.due, self._look)

    def _look(self) -> None:
        late = max(self.loop.time() - self.due, 0.0)
        self.counts[bisect.bisect_left(BUCKETS, late)] += 1
        self.sum += late
        self._set_timer()

    def stop(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()

    def numbers(self) -> dict[str, float]:
        """Give how often it was how late."""
        ends = (*map(str, BUCKETS), "+Inf")
        return {**dict(zip(ends, self.counts, strict=True)), "sum": self.sum}


class Metrics:
    """What servers and hubs do, as a collector for ``prometheus_client``.

    ::

        async with serve(handler, "localhost", 8765) as server:
            prometheus_client.REGISTRY.register(Metrics(server))
            prometheus_client.start_http_server(9100)
            await server.serve_forever()

    Nothing is done before Prometheus asks, and then in the thread that it is asked in.

    Args:
        *servers: servers of any API that have `stats`.
        hubs: hubs; None for all of this process.
        lag: how late the event loop is; None if nobody looks.

    Raises:
        ImportError: if ``prometheus-client`` isn't installed.

    """

    def __init__(
        self, *servers: Any, hubs: Iterable[Hub] | None = None, lag: LoopLag | None = None
    ) -> None:
        require_client()
        self.servers: Iterable[Any] = servers
        self.hubs = hubs
        self.lag = lag

    def collect(self) -> Iterator[Metric]:
        """Give all numbers, as ``prometheus_client`` asks for them."""
        hubs = all_hubs() if self.hubs is None else self.hubs
        return families(read_numbers(self.servers, hubs, self.lag))

    def page(self) -> tuple[bytes, str]:
        """Give all numbers as Prometheus reads them, and the type of that for HTTP."""
        return page_of(self)


def require_client() -> None:
    """Raise if ``prometheus-client`` isn't there.

    Raises:
        ImportError: then; it says what to install.

    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ImportError(
            "metrics need the package prometheus-client: pip install 'tidegate[metrics]'"
        ) from None


def all_hubs() -> list[Hub]:
    """Give the hubs of this process."""
    module = sys.modules.get(f"{__package__}.pubsub.hub")
    return [] if module is None else list(module.HUBS)


def read_numbers(servers: Iterable[Any], hubs: Iterable[Hub], lag: LoopLag | None) -> Numbers:
    """Give the numbers of servers and hubs as they are now."""
    numbers: Numbers = {}
    # Servers may share them.
    limits: dict[int, Any] = {}
    policies: dict[int, Any] = {}
    for server in servers:
        stats = server.stats
        limits[id(server.limits)] = stats.refused
        policies[id(server.tally.policy)] = stats.proxy
        buffered = sum(each.buffered_amount for each in list(server.tally.live))
        of_server: dict[str, Mapping[Any, float]] = {
            "connections": {"": stats.connections},
            "handshakes_in_progress": {"": stats.opening},
            "connections_opened": {"": stats.opened},
            "connections_closed": stats.closed,
            "messages": {"received": stats.messages_received, "sent": stats.messages_sent},
            "bytes": {"received": stats.bytes_received, "sent": stats.bytes_sent},
            "http_responses": stats.responses,
            "messages_waiting": {"": stats.waiting},
            "buffered_bytes": {"": buffered},
        }
        add_numbers(numbers, of_server)
    for each in limits.values():
        add_numbers(numbers, {"handshakes_refused": each})
    for each in policies.values():
        add_numbers(numbers, {"proxy_headers": each})
    for hub in hubs:
        of_hub = hub.stats
        add_numbers(numbers, {name: {"": getattr(of_hub, key)} for name, key in OF_HUBS.items()})
        add_numbers(numbers, {"hub_lost": {why: getattr(of_hub, why) for why in LOST}})
    if lag is not None:
        add_numbers(numbers, {"event_loop_lag_seconds": lag.numbers()})
    return numbers


def add_numbers(numbers: Numbers, others: Mapping[str, Mapping[Any, float]]) -> None:
    """Add other numbers to these."""
    for name, values in others.items():
        mine = numbers.setdefault(name, {})
        for label, value in values.items():
            mine[str(label)] = mine.get(str(label), 0) + value


def lasting(numbers: Numbers) -> Numbers:
    """Give those that stay when a process is gone."""
    gauges = {family.name for family in FAMILIES if family.kind == GAUGE}
    return {name: values for name, values in numbers.items() if name not in gauges}


def families(numbers: Numbers) -> Iterator[Metric]:
    """Give numbers as ``prometheus_client`` has them."""
    from prometheus_client import core

    for family in FAMILIES:
        values = numbers.get(family.name)
        if values is None:
            continue
        name = f"tidegate_{family.name}"
        labels = () if family.label is None else (family.label,)
        if family.kind == HISTOGRAM:
            buckets = []
            count = 0.0
            for end in (*map(str, BUCKETS), "+Inf"):
                count += values.get(end, 0)
                buckets.append((end, count))
            yield core.HistogramMetricFamily(
                name, family.text, buckets=buckets, sum_value=values.get("sum", 0)
            )
            continue
        kind = core.CounterMetricFamily if family.kind == COUNTER else core.GaugeMetricFamily
        metric = kind(name, family.text, labels=labels)
        for label, value in values.items():
            metric.add_metric([] if family.label is None else [label], value)
        yield metric


def page_of(collector: Any) -> tuple[bytes, str]:
    """Give what a collector has as Prometheus reads it, and the type of that for HTTP."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry), CONTENT_TYPE_LATEST
