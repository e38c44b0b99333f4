cimport cython

from ...core.life cimport NEVER
from ...core.tls cimport TLS
from ..channel cimport Channel
from ..hub cimport Hub
from ..sink cimport Layer, Sink

cdef int SHAKING
cdef int TALKING
cdef int SHUTTING
cdef int LOST


cdef class TLSTransport(Layer):
    cdef object __weakref__
    cdef object loop
    cdef Hub hub
    cdef Sink below
    cdef object sslcontext
    cdef object make_protocol
    cdef object over
    cdef bint server_side
    cdef object server_hostname
    cdef object peer
    cdef bint introduces
    cdef double handshake_timeout
    cdef double shutdown_timeout
    cdef int state
    cdef TLS tls
    cdef object protocol
    cdef Channel channel
    cdef Layer layer
    cdef bint reading
    cdef bint closing
    cdef bint at_end
    cdef public double timer_at

    cdef object take_in(self, Py_ssize_t n)
    cdef object take(self, data)
    cdef object go_on(self)
    cdef object shake(self)
    cdef object end_handshake(self, exc)
    cdef bint has_input(self) except -1
    @cython.locals(tls=TLS, channel=Channel, n=Py_ssize_t)
    cdef object deliver(self)
    cdef object receive_eof(self)
    cpdef object fail(self, exc)
    cdef object protocol_failed(self, exc, where)
    cdef object wait_for_end(self)
    @cython.locals(tls=TLS)
    cdef object discard(self)
    @cython.locals(tls=TLS)
    cdef object write_now(self, bytes data)
    cdef object send_output(self)
