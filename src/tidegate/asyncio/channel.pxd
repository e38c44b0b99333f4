cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_REFCNT

from ..wire.kernels cimport monotonic
from ..wire.reader cimport CONTROL, FrameReader
from ..wire.writer cimport FrameWriter
from .hub cimport HEADROOM, Hub
from .waiter cimport Waiter

cdef extern from *:
    """
    /* CPython 3.11 awaits through am_send where a type has it, which spares a StopIteration. */
    typedef int (*tidegate_sendfunc)(PyObject *, PyObject *, PyObject **);

    static void tidegate_set_send(PyObject *type, tidegate_sendfunc function)
    {
    #if PY_VERSION_HEX >= 0x030a0000 && !defined(Py_LIMITED_API)
        PyTypeObject *t = (PyTypeObject *)type;
        if (t->tp_as_async != NULL) {
            t->tp_as_async->am_send = (sendfunc)(void (*)(void))function;
    #ifdef Py_TPFLAGS_HAVE_AM_SEND
            t->tp_flags |= Py_TPFLAGS_HAVE_AM_SEND;
    #endif
            PyType_Modified(t);
        }
    #endif
    }
    """
    ctypedef int (*tidegate_sendfunc)(PyObject *, PyObject *, PyObject **) except -1
    void tidegate_set_send(object type, tidegate_sendfunc function)


cdef int OPEN
cdef int RECV
cdef int NEXT
cdef int SEND
cdef int NEW
cdef int WAITING
cdef int DONE
cdef int AS_SENT
cdef int AS_TEXT
cdef int AS_BYTES
cdef double BUDGET
cdef int CLOCK_EVERY
cdef Py_ssize_t DIRECT
cdef Py_ssize_t MOST_PENDING
cdef Py_ssize_t NO_LIMIT


@cython.final
cdef class Operation:
    cdef Channel channel
    cdef int kind
    cdef int decode
    cdef int stage
    cdef bint finished
    cdef object message
    cdef object options
    cdef object inner

    cdef object step(self)
    cdef object recv_step(self)
    cdef object recv_decoded(self, message)
    cdef object recv_nothing(self)
    cdef object send_step(self)
    cdef object inner_step(self)


# The operation that was finished last, without its channel. The next one is made of it if nobody
# else has it by then, because making an object takes longer than many a message does.
cdef Operation spare_operation

cdef inline Operation take_spare():
    global spare_operation
    cdef Operation operation = spare_operation
    if operation is None or Py_REFCNT(operation) != 2:
        return None
    spare_operation = None
    return operation


cdef inline int operation_send(PyObject *self, PyObject *value, PyObject **result) except -1:
    global spare_operation
    cdef Operation operation = <Operation>self
    cdef object outcome
    result[0] = NULL
    outcome = operation.step()
    Py_INCREF(outcome)
    result[0] = <PyObject *>outcome
    if operation.finished:
        operation.channel = None
        spare_operation = operation
        return 0
    return 1


@cython.locals(operation=Operation)
cdef Operation new_operation(Channel channel, int kind, int decode, object message, object options)


@cython.final
cdef class MessageIterator:
    cdef Channel channel


cdef class Channel:
    cdef object __weakref__
    cdef public object loop
    cdef public object transport
    cdef readonly Hub hub
    cdef FrameReader reader
    cdef FrameWriter writer
    cdef public bint opening
    cdef public bint ended
    # reading
    cdef Waiter waiter
    cdef public bint receiving
    cdef public bint streaming
    cdef public object piece_waiter
    cdef public bint read_paused
    cdef public Py_ssize_t high
    cdef public Py_ssize_t low
    cdef public bint draining
    cdef public object deferred
    cdef public Py_ssize_t activity
    cdef bint direct
    cdef bytearray spare
    cdef Py_ssize_t burst
    cdef double burst_start
    cdef bint continuing
    # writing
    cdef public bint write_paused
    cdef bint in_callback
    cdef bint turn_written
    cdef public bint eof_written

    # callbacks
    cdef public object listener

    cdef bint can_share(self)
    cdef object receive_direct(self, Py_ssize_t nbytes)
    cdef object receive_shared(self, Py_ssize_t nbytes)
    @cython.locals(n=Py_ssize_t, writes=list)
    cdef bytes take_output(self)
    cdef bint over_budget(self)
    cdef object suspend(self)
    cdef object next_message(self, bint join)
    cdef object failed(self, exc)
    cdef object read(self)
    cdef object read_for_listener(self, listener)
    cdef object wake_receiver(self)
    cpdef object read_ahead(self)
    cdef object took_message(self)
    cdef object resume_reading(self)
    cdef object yield_turn(self)
    cpdef object continue_soon(self)
    cdef object wrote(self)
    cpdef object flush(self)
