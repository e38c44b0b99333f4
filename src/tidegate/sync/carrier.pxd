cimport cython

from ..core.life cimport ENDING, GONE, NEVER, Life
from ..core.link cimport Link
from .layers cimport Layers
from .syscalls cimport is_fast, send_from

cdef Py_ssize_t MOST_SENT


cdef class Carrier(Link):
    cdef public object lock
    cdef object enter
    cdef object leave
    cdef public object bell
    cdef public object sock
    cdef readonly int fd
    cdef public Layers layers
    cdef public bytearray unsent
    cdef public bint dropped
    cdef public double timer_at
    cdef bint reading
    cdef public bint owned
    cdef public int waiting
    cdef public int senders
    cdef public bint fragmenting
    cdef public object ref
    cdef public bint attended
    cdef public bint forgotten
    cdef bint handing
    cdef public bint noticed
    cdef public long entries
    cdef public bint at_end
    cdef public bint eof_written
    cdef readonly object attendant

    cdef object receivable(self)
    @cython.locals(life=Life)
    cdef object changed(self)
    @cython.locals(writes=list)
    cpdef object flush(self)
    cdef object put(self, bytes data)
    cdef Py_ssize_t transmit(self, bytes data) except -1
    cpdef object enter_again(self)
