cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_REFCNT

from ..core.link cimport NOBODY, WAITING, Link
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

    /* A macro, because the type isn't known yet here. */
    #define tidegate_set_code(function, code)                                       \\
        do {                                                                        \\
            PyObject *before = ((__pyx_CyFunctionObject *)(function))->func_code;   \\
            Py_INCREF(code);                                                        \\
            ((__pyx_CyFunctionObject *)(function))->func_code = (code);             \\
            Py_XDECREF(before);                                                     \\
        } while (0)
    """
    ctypedef int (*tidegate_sendfunc)(PyObject *, PyObject *, PyObject **) except -1
    void tidegate_set_send(object type, tidegate_sendfunc function)
    void tidegate_set_code(object function, object code)


cdef int OPEN
cdef int RECV
cdef int NEXT
cdef int SEND
cdef int NEW
cdef int SUSPENDED
cdef int DONE
cdef int AS_SENT
cdef int AS_TEXT
cdef int AS_BYTES


@cython.final
cdef class Operation:
    cdef Link link
    cdef Waiter waiter
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
    cdef object suspend(self)
    cdef object send_step(self)
    cdef object inner_step(self)


# The operation that was finished last, without its connection. The next one is made of it if nobody
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
        operation.link = None
        operation.waiter = None
        spare_operation = operation
        return 0
    return 1


@cython.locals(operation=Operation)
cdef Operation new_operation(
    Link link, Waiter waiter, int kind, int decode, object message, object options
)


@cython.final
cdef class MessageIterator:
    cdef Link link
    cdef Waiter waiter
    cdef bint given_up
