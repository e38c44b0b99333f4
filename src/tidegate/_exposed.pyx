"""What the compiled modules share among themselves in C, with names that the tests can call.

Nothing else imports this module.
"""

from .asyncio.poller cimport syscalls
from .core.link cimport Link
from .wire cimport kernels
from .wire cimport reader as wire_reader
from .wire cimport writer as wire_writer
from .wire.reader cimport FrameReader
from .wire.writer cimport FrameWriter

# wire/kernels.pxd

UTF8_INVALID = kernels.UTF8_INVALID


def monotonic():
    return kernels.monotonic()


def mask_key_at(bytearray buffer not None, Py_ssize_t start):
    return kernels.mask_key_at(buffer, start)


def mask_key_from(bytes pool not None, Py_ssize_t start):
    return kernels.mask_key_from(pool, start)


def take_bytes(bytearray buffer not None, Py_ssize_t start, Py_ssize_t n, unsigned int key):
    return kernels.take_bytes(buffer, start, n, key)


def take_text(bytearray buffer not None, Py_ssize_t start, Py_ssize_t n, unsigned int key):
    return kernels.take_text(buffer, start, n, key)


def payload_new(Py_ssize_t n):
    return kernels.payload_new(n)


def payload_grown(bytes payload not None, Py_ssize_t filled, Py_ssize_t n):
    return kernels.payload_grown(payload, filled, n)


def payload_put(
    bytes payload not None, Py_ssize_t at, bytearray buffer not None, Py_ssize_t start,
    Py_ssize_t n, unsigned int key
):
    kernels.payload_put(payload, at, buffer, start, n, key)


def payload_unmask(bytes payload not None, Py_ssize_t at, Py_ssize_t n, unsigned int key):
    kernels.payload_unmask(payload, at, n, key)


def payload_view(bytes payload not None, Py_ssize_t start, Py_ssize_t stop):
    return kernels.payload_view(payload, start, stop)


def payload_bytes(bytes payload not None, Py_ssize_t n):
    return kernels.payload_bytes(payload, n)


def payload_text(bytes payload not None, Py_ssize_t n):
    return kernels.payload_text(payload, n)


def payload_utf8(bytes payload not None, Py_ssize_t start, Py_ssize_t n, unsigned int state):
    return kernels.payload_utf8(payload, start, n, state)


def header_bytes(unsigned char first, Py_ssize_t n):
    return kernels.header_bytes(first, n)


def frame_bytes(unsigned char first, bytes data not None, bint mask, unsigned int key):
    return kernels.frame_bytes(first, data, mask, key)


def frame_text(unsigned char first, str text not None, bint mask, unsigned int key):
    return kernels.frame_text(first, text, mask, key)


# asyncio/syscalls.pxd


def new_events(int limit):
    return syscalls.new_events(limit)


def poll_events(events, epoll, int fd, int limit):
    return syscalls.poll_events(events, epoll, fd, limit)


def event_fd(events, Py_ssize_t i):
    return syscalls.event_fd(events, i)


def event_mask(events, Py_ssize_t i):
    return syscalls.event_mask(events, i)


def receive(sock, int fd, bytearray buffer not None, Py_ssize_t start, Py_ssize_t n):
    return syscalls.receive(sock, fd, buffer, start, n)


def transmit(sock, int fd, bytes data not None):
    return syscalls.transmit(sock, fd, data)


def accept_connection(sock, int fd):
    return syscalls.accept_connection(sock, fd)


# wire/reader.py: the methods by which a connection takes messages.

CONTROL = wire_reader.CONTROL


def next_message(FrameReader reader not None, bint join):
    return reader.next_message(join)


def take_payload(FrameReader reader not None):
    return reader.take_payload()


def put(FrameReader reader not None, message):
    reader.put(message)


def pop(FrameReader reader not None):
    return reader.pop()


def lend(FrameReader reader not None, bytearray buffer not None, Py_ssize_t start, Py_ssize_t end):
    reader.lend(buffer, start, end)


def give_back(FrameReader reader not None):
    reader.give_back()


def rest(FrameReader reader not None):
    return reader.rest()


def room(FrameReader reader not None, Py_ssize_t least):
    return reader.room(least)


def received_in_room(FrameReader reader not None, Py_ssize_t n):
    reader.received_in_room(n)


def discard(FrameReader reader not None):
    reader.discard()


# wire/writer.py


def mask_key():
    return wire_writer.mask_key()


def write_text(FrameWriter writer not None, str text not None):
    writer.write_text(text)


def write_bytes(FrameWriter writer not None, int opcode, bytes data not None):
    writer.write_bytes(opcode, data)


# core/link.py: what a face gets, and what it has called.


cdef class Face(Link):
    def take_message(self):
        return self.take()

    def expect_message(self):
        self.nothing_to_take()

    cdef object receivable(self):
        self.on_receivable()

    cdef object changed(self):
        self.on_changed()
