cimport cython


@cython.final
cdef class Waiter:
    cdef public bint _asyncio_future_blocking
    cdef object loop
    cdef object callback
    cdef object context
    cdef bint woken
    cdef object cancel_message
    cdef bint is_cancelled

    cdef object start(self)
    cdef object wake(self)
    cdef object schedule(self)
