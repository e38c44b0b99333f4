# Compiled, because every connection passes through; there are no types to give.
