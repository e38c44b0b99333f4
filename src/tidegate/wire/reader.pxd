cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .kernels cimport (
    UTF8_INVALID,
    mask_key_at,
    payload_bytes,
    payload_grown,
    payload_new,
    payload_put,
    payload_text,
    payload_unmask,
    payload_utf8,
    payload_view,
    take_bytes,
    take_text,
)

cdef int CONT
cdef int TEXT
cdef int BINARY
cdef int CLOSE
cdef int PING
cdef int PONG
cdef int MANY_FRAGMENTS
cdef Py_ssize_t FIRST_STEP
cdef Py_ssize_t GROWTH
cdef Py_ssize_t MOST_CHUNKS
cdef Py_ssize_t MOST_BYTES
cdef object CONTROL
cdef bytearray EMPTY


cdef Py_ssize_t weigh(object data, Py_ssize_t unit) except -1


@cython.final
cdef class Fragments:
    cdef public object chunks
    cdef public bint text
    cdef public bint complete

    cpdef Py_ssize_t weight(self, Py_ssize_t unit) except -1
    @cython.locals(before=Py_ssize_t)
    cdef Py_ssize_t add(self, bytes chunk, Py_ssize_t unit) except -1
    cpdef object joined(self)


cdef class FrameReader:
    # the bytes that were received and not yet read
    cdef bytearray buffer
    cdef Py_ssize_t pos
    cdef Py_ssize_t end
    cdef bint lent
    # the frame whose header was read last
    cdef public int opcode
    cdef public bint fin
    cdef public int rsv
    cdef uint32_t key
    # lengths that a peer announces have 64 bits on any machine
    cdef public int64_t length
    cdef Py_ssize_t start
    # its payload, when it arrives in pieces
    cdef object payload
    cdef Py_ssize_t capacity
    cdef Py_ssize_t filled
    # the message that the frame belongs to
    cdef public int message_opcode
    cdef bint compressed
    cdef public int64_t message_size
    cdef uint32_t utf8_state
    cdef Fragments partial
    # what may be received
    cdef bint expect_mask
    cdef public int64_t max_message_size
    cdef public int64_t max_frame_size
    cdef public bint stopped
    cdef public bint discarding
    cdef object deflate
    cdef tuple other_extensions
    cdef bint plain
    cdef bint simple
    cdef public object log
    # what was received and not yet taken
    cdef public object queue
    cdef public Py_ssize_t held
    cdef public Py_ssize_t unit
    cdef public bint queued
    cdef public bint interrupted
    cdef public Py_ssize_t frames_read
    cdef public Py_ssize_t messages_read
    cdef public int64_t bytes_read

    cpdef object configure(self, extensions)
    cpdef object feed(self, data)
    cdef object lend(self, bytearray buffer, Py_ssize_t start, Py_ssize_t end)
    cdef object give_back(self)
    cpdef Py_ssize_t unread(self)
    cdef bytes rest(self)
    cpdef object stop(self)
    cpdef str truncation(self)

    @cython.locals(buffer=bytearray, first=int, second=int, opcode=int, header=Py_ssize_t,
                   length=int64_t, have=Py_ssize_t, pos=Py_ssize_t, wide=uint64_t, i=int)
    cdef bint next_frame(self) except -1
    @cython.locals(compressed=bint, allowance=int64_t, before=int64_t)
    cdef object check_header(self, int opcode, bint fin, int rsv, int64_t length)
    @cython.locals(n=int64_t)
    cdef object begin_payload(self)
    @cython.locals(n=Py_ssize_t, wide=int64_t)
    cdef bint fill_payload(self) except -1
    cdef object payload_received(self, Py_ssize_t n)
    cdef bint has_room(self, Py_ssize_t least)
    cdef object room(self, Py_ssize_t least)
    cdef object received_in_room(self, Py_ssize_t n)
    cdef bytes take_payload(self)
    @cython.locals(data=bytes, limit=int64_t)
    cdef bytes frame_data(self)
    cdef bytes extended(self, bytes data, int64_t limit)
    cdef object decode_control(self)
    cpdef tuple next_frame_data(self)
    @cython.locals(buffer=bytearray, first=int, length=Py_ssize_t, header=Py_ssize_t,
                   have=Py_ssize_t, pos=Py_ssize_t)
    cdef bint has_whole(self)
    @cython.locals(fragments=int)
    cdef object next_message(self, bint join)
    cdef object assemble(self, bint join)
    cdef object discard(self)
    cdef object pop(self)
    cpdef object pop_fragment(self)
    cpdef bint has_message(self)
    cpdef bint has_fragment(self)
    cdef object put(self, object message)
