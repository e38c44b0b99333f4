from ..asyncio.channel cimport Channel
from ..core.link cimport NOBODY

cdef int OPEN


cdef class Exchange(Channel):
    cdef public bint talking
    cdef public bint crowded
