cimport cython

from ..wire.kernels cimport monotonic
from ..wire.reader cimport CONTROL, FrameReader
from ..wire.writer cimport FrameWriter
from .life cimport (
    ASKED,
    CLOSING,
    ENDING,
    FAILING,
    GONE,
    LEFT,
    NEVER,
    NOTHING,
    OPEN,
    OPENING,
    PEER_IS_DEAD,
    REFUSED,
    Life,
)

cdef int NOBODY
cdef int WAITING
cdef int STREAMING
cdef int GAVE_UP
cdef int QUEUE
cdef int TURN
cdef int ROOM
cdef int PROGRAM
cdef int HANDSHAKE
cdef double BUDGET
cdef int CLOCK_EVERY
cdef Py_ssize_t MOST_PENDING
cdef Py_ssize_t MOST_EARLY
cdef Py_ssize_t NO_LIMIT
cdef int CLOSE_OPCODE
cdef int PING_OPCODE
cdef int PONG_OPCODE


cdef class Link:
    cdef object __weakref__
    cdef public object protocol
    cdef public object _logger
    cdef public Life life
    cdef FrameReader frame_reader
    cdef FrameWriter writer
    cdef public bint opening
    # reading
    cdef public int reception
    cdef public int hold
    cdef public Py_ssize_t high
    cdef public Py_ssize_t low
    cdef public object failure
    cdef public object cause
    cdef public Py_ssize_t activity
    cdef Py_ssize_t burst
    cdef double burst_start
    cdef bint behind
    # writing
    cdef public bint full
    cdef public bint ends_early
    cdef bint within
    cdef public bint coalesces
    cdef public long long written
    cdef long long preamble
    cdef public object tally
    cdef public object listener
    cdef public list followers
    # pings
    cdef public dict pending_pings
    cdef bytes keepalive_ping
    cdef bytes unanswered_ping
    cdef public double latency

    cpdef tuple counters(self)
    cdef object receivable(self)
    cdef object changed(self)
    cpdef object received(self)
    @cython.final
    cdef object read(self)
    @cython.final
    cdef object read_for_listener(self, listener)
    @cython.final
    cdef bint over_budget(self)
    @cython.final
    cdef object yield_turn(self)
    cpdef object go_on(self)
    @cython.final
    cdef object next_message(self, bint join)
    @cython.locals(life=Life, wanted=bint, discards=bint)
    cpdef object read_ahead(self)
    @cython.final
    cdef object read_again(self)
    @cython.final
    cdef object took_message(self)
    @cython.final
    cdef object wants_message(self)
    @cython.final
    cdef object take(self)
    @cython.final
    cdef object nothing_to_take(self)
    @cython.final
    cdef bint is_over(self)
    cpdef object control_received(self, int opcode, bytes data)
    cdef object failed(self, exc)
    cpdef object fail_deferred(self)
    cpdef object follow(self, limit)
    @cython.locals(life=Life)
    cdef object discard(self)
    cdef object read_rest(self)
    @cython.locals(life=Life)
    cdef object keepalive_due(self, double now, long long unsent)
    cpdef object acknowledge_pings(self, bytes data)
    @cython.final
    cdef object wrote(self)
    cpdef object flush(self)
    cdef object send_made(self, bytes frame)
    cpdef object settle(self)
    @cython.final
    cdef bint write_plain(self, message) except -1
